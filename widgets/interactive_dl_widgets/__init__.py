"""Widgets for notebooks: a live run, a cluster, and the Bokeh plots that they are made of."""

from interactive_dl_widgets.cluster_panel import ClusterPanel
from interactive_dl_widgets.figure import Figure
from interactive_dl_widgets.run_view import RunView

__all__ = ["ClusterPanel", "Figure", "RunView"]
