"""Keras layers that Keras lacks, or has slower: normalisation, grouped convolution, tokens."""
