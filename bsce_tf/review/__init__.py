"""A page on this machine on which a person corrects the labels that an audit lists."""
