"""The seed cases: each with its data, its network, its metric and its gate."""
