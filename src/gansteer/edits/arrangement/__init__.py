"""Moving the blobs of a layout."""
