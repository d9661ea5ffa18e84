"""From one picture to a hundred thousand: what is looked at, by whom, and where it is kept."""
