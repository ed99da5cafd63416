"""What of a run's history is drawn: pure functions, without a browser, a clock or Bokeh."""
