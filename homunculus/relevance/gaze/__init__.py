"""Where a person looks: live or recorded, in picture pixels, by the clock of `time.perf_counter`."""
