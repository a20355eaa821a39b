"""Data, losses, augmentation and the loop; the same under `torchrun`."""
