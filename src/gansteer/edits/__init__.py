"""Ways of steering a picture: a folder for each kind of edit, `api.py` with what they share, `registry.py` with which there are."""
