"""How the project is deployed: environments, build recipes."""
