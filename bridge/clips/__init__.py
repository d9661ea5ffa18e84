"""Time: frames with their time stamps, and the pyramid of the last of them, whose layers last one frame or several."""
