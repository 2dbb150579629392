"""The subcommands of `qatflow`: one module each, named in a table."""
