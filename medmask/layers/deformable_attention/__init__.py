"""Multi-scale deformable attention: one PyTorch operator, three implementations, one module."""
