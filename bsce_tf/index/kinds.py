"""The kinds of an index, by its size: exact, in cells, in cells and compressed. All are faiss's.

Vectors have length 1, so an inner product is a cosine. N images, vectors of d numbers:

* `exact`, up to 200,000 images: float32 vectors that are all compared (4·d bytes an image).
* `ivf`, up to 5 million: an inverted file of 4·√N cells, vectors in float16 (2·d + 8 bytes), of
  which the cells nearest to the query are compared. It can miss a neighbour.
* `ivf_pq`, above: vectors by product quantisation (Jégou, Douze and Schmid 2011, "Product
  Quantization for Nearest Neighbor Search"), 1 byte for 8 numbers; similarities are approximate.
"""

import numpy as np

from bsce_tf.errors import InputError

KINDS = ('exact', 'ivf', 'ivf_pq')
AUTO = 'auto'
LARGEST = {'exact': 200_000, 'ivf': 5_000_000}  # images, up to which 'auto' takes a kind
_SAMPLE = 64  # images for each cell, to compute the cells
_GROWN = 4  # an index that has grown by this factor gets new cells
_CODES = 256  # values of a byte: product quantisation needs as many images to learn them
_BLOCK = 2**16


def check(what='index'):
    """Raises InputError if faiss is not installed; `what` needs it."""
    try:
        import faiss  # noqa: F401
    except ImportError as error:
        raise InputError(f"{what}: needs faiss: pip install 'bsce-tf[index]'.") from error


def wanted(kind, images):
    """The kind for so many images; `kind` itself unless it is 'auto'."""
    if kind != AUTO:
        return kind
    return next((name for name, most in LARGEST.items() if images <= most), 'ivf_pq')


def cells(images):
    """Number of cells for so many images."""
    return min(max(int(4 * images ** 0.5), 1), images)


def grown(trained_on, images):
    """Whether cells that were computed for `trained_on` images no longer fit so many."""
    return images > _GROWN * trained_on


def build(kind, width, images, sample):
    """An empty faiss index.

    Args:
      kind: one of `KINDS`.
      width: d.
      images: N that are to be added.
      sample: function of a number n → float32 `[≤ n, d]`, evenly drawn vectors to compute cells of.

    Raises:
      InputError: if there are too few images for the kind.
    """
    import faiss
    if kind == 'exact':
        return faiss.IndexIDMap(faiss.IndexFlatIP(width))
    number = cells(images)
    code = 'SQfp16'
    if kind == 'ivf_pq':
        if images < _CODES:
            raise InputError(f'index.kind: found ivf_pq for {images} images; expected exact or ivf '
                             f'for fewer than {_CODES}.')
        code = f'PQ{_parts(width)}x8'
    index = faiss.index_factory(width, f'IVF{number},{code}', faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1  # says nothing on small sets
    if kind == 'ivf_pq':
        index.pq.cp.min_points_per_centroid = 1
    index.train(np.ascontiguousarray(sample(max(_SAMPLE * number, _SAMPLE * _CODES))))
    return index


def _parts(width):
    """Bytes of a compressed vector: the largest divisor of `width` of at most width / 8."""
    return max((m for m in range(1, width // 8 + 1) if width % m == 0), default=1)


def search(index, vectors, count, probes, without=None):
    """(cosines float32 `[n, count]`, ids int64 `[n, count]`) of the nearest images, nearest first.

    Args:
      index: of `build`.
      vectors: float32 `[n, d]` of length 1.
      count: neighbours of each.
      probes: cells that are searched, for `ivf` and `ivf_pq`.
      without: int64 `[m]`, ids that are left out; None: none.

    Returns:
      Where fewer are found, the id is −1 and the cosine −inf.
    """
    import faiss
    options = {}
    if without is not None:
        options['sel'] = faiss.IDSelectorNot(faiss.IDSelectorBatch(
            np.ascontiguousarray(without, np.int64)))
    if isinstance(index, faiss.IndexIVF):
        parameters = faiss.SearchParametersIVF(nprobe=min(probes, index.nlist), **options)
    else:
        parameters = faiss.SearchParameters(**options)
    cosines, ids = index.search(np.ascontiguousarray(vectors, np.float32), count, params=parameters)
    return np.where(ids >= 0, cosines, -np.inf).astype(np.float32), ids


def blocks(index, ids):
    """Yields float32 `[≤ 65536, d]`: the vectors of all ids, in their order.

    What an index holds: exact in `exact`, rounded to float16 in `ivf`, approximate in `ivf_pq`.

    Args:
      index: of `build`.
      ids: int64 `[N]`, all ids of the index, rising.
    """
    import faiss
    if isinstance(index, faiss.IndexIDMap):
        held = faiss.vector_to_array(index.id_map)
        order = np.argsort(held)  # as ids rise
        flat = faiss.downcast_index(index.index)
        whole = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(-1, flat.d)
        for begin in range(0, len(ids), _BLOCK):
            yield whole[order[begin:begin + _BLOCK]]
        return
    index.set_direct_map_type(faiss.DirectMap.Hashtable)  # from an id to its cell
    for begin in range(0, len(ids), _BLOCK):
        yield index.reconstruct_batch(np.ascontiguousarray(ids[begin:begin + _BLOCK], np.int64))
    index.set_direct_map_type(faiss.DirectMap.NoMap)
