"""One HTML page on one or several runs: curves, classes, mistakes, config."""
