"""What the local pages share: a server on this machine alone, and who may ask it."""
