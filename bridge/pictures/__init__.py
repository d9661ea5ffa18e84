"""What a picture may be - a file, a PIL image, an array of any layout - and how each becomes [H, W, 3]."""
