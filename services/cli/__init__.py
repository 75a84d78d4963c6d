"""The command `filo`: a subcommand for each service, all on one machine, a training run to watch, the demo."""
