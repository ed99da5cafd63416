"""Widgets for notebooks: a live run, a search, a cluster, and the plots that they are made of."""

from interactive_dl_widgets.cluster_panel import ClusterPanel
from interactive_dl_widgets.figure import Figure
from interactive_dl_widgets.run_view import RunView
from interactive_dl_widgets.search_board import SearchBoard

__all__ = ["ClusterPanel", "Figure", "RunView", "SearchBoard"]
