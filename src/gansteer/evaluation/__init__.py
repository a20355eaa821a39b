"""The papers' protocols and metrics, each under a name it has earned."""
