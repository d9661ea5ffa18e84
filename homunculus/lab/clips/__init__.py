"""What tokens with durations show of a video, against frames apart, and whether a gaze stays on what it follows."""
