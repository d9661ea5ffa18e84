"""Does looking help? Tasks, judges and the experiment."""
