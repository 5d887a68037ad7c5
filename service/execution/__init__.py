"""One batch on the device. The only room besides ``models`` that imports PyTorch."""
