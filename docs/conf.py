"""Sphinx reads this. `make docs` fills the pages first, see tools/docs/pages.py."""

from docutils import nodes
from docutils.utils.math import latex2mathml

project = 'bsce-tf'
author = copyright = 'The bsce-tf authors'
extensions = ['myst_parser']
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 4
smartquotes = False  # else -- of a flag in a title becomes a dash
nitpicky = True
html_theme = 'pydata_sphinx_theme'
html_title = 'bsce-tf'
html_use_index = html_copy_source = html_show_sourcelink = html_show_sphinx = False
html_static_path = ['_static']
html_css_files = ['site.css']
html_theme_options = {
    'logo': {'text': 'bsce-tf'},
    'header_links_before_dropdown': 7,
    'show_prev_next': True,
    'navbar_align': 'left',
    'show_toc_level': 1,
    'footer_start': ['copyright'],
    'footer_end': [],
}
html_math_renderer = 'mathml'


def _inline(writer, node):
    writer.body.append(_mathml(node, as_block=False))
    _skip()


def _block(writer, node):
    writer.body.append(f'<div class="formula">{_mathml(node, as_block=True)}</div>')
    _skip()


def _mathml(node, as_block):
    return str(latex2mathml.tex2mathml(node.astext(), as_block=as_block))


def _skip():
    raise nodes.SkipNode


def setup(app):
    """Formulas as MathML, which browsers show without a script from elsewhere."""
    app.add_html_math_renderer('mathml', (_inline, None), (_block, None))
