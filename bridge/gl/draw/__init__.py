"""Drawing what a unit sampled, where it lies: pictures, footprints, reconstructions and labels, in a window or without one."""
