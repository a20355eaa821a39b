"""SpatialGAN: a StyleGAN2 whose picture is arranged by blobs."""
