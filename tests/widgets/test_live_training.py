"""The whole way: engines train, the recorder records, a person in a browser watches and steers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from interactive_dl.cluster import Cluster
from tests.widgets.browser import Lab
from tests.widgets.conftest import Open

START = "import interactive_dl as idl\ncluster = idl.Cluster(2).start()"
TRAIN = """
    %%px --noblock
    import keras
    import numpy as np
    from interactive_dl import data, engine

    group = engine.init(seed=1)
    x = np.random.default_rng(0).random((2000, 16, 16, 1)).astype("float32")
    y = (x[:, :8].mean(axis=(1, 2, 3)) > 0.5).astype("float32")
    train = data.from_arrays(x, y).shard(group).batch(32)
    model = keras.Sequential([
        keras.Input((16, 16, 1)), keras.layers.Conv2D(8, 3, activation="relu"),
        keras.layers.Flatten(), keras.layers.Dropout(0.2),
        keras.layers.Dense(1, activation="sigmoid"),
    ])
    model.compile(
        engine.distribute(keras.optimizers.Adam(1e-3)), "binary_crossentropy",
        metrics=["accuracy"])
    model.fit(train, validation_data=train, epochs=2000, verbose=0,
              callbacks=engine.callbacks("live"))
"""
VIEW = """
    import time
    from interactive_dl_widgets import RunView

    training = _
    while "live" not in [one.name for one in cluster.runs.summaries()]:
        time.sleep(0.1)
    run = cluster.runs["live"]
    view = RunView(run)
    view
"""
READ = """
    training.get()
    rates = cluster.client[:].apply_sync(lambda: float(model.optimizer.learning_rate))
    print(run.state, *rates)
"""
STOP = "view.close(); cluster.stop()"


@pytest.fixture
def no_cluster_left(server: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stops what a test that failed has left running."""
    yield
    monkeypatch.setenv("IPYTHONDIR", str(server.ipython_folder))
    for left in Cluster.list():
        Cluster.attach(left.id).stop()


@pytest.mark.usefixtures("no_cluster_left")
def test_a_real_training_is_watched_steered_and_stopped(
    notebook: Open, picture: Callable[[str], Path]
) -> None:
    page = notebook(START, TRAIN, VIEW, READ, STOP)
    for cell in range(3):
        page.run(cell)
    page.await_points("smooth", 5)
    before = page.points("smooth")
    page.await_points("smooth", before + 5)

    handle = page.page.locator(".widget-slider .noUi-handle").first
    handle.focus()
    for _ in range(5):
        handle.press("ArrowRight")
    row = page.page.locator(".idl-commands tr").first
    expect(row).to_contain_text("applied")
    expect(row).to_contain_text("learning_rate")
    page.page.wait_for_function(
        "() => !document.querySelector('.idl-commands').textContent.includes('sent')"
    )
    page.save()
    page.reload()
    page.await_points("smooth", before + 5)
    page.picture(picture("live_training"))
    page.button("Stop now").click()
    expect(page.page.locator(".idl-header .idl-badge").first).to_have_text("stopped")
    page.run(3)
    state, *rates = page.text(3).split()
    assert state == "stopped"
    assert len(set(rates)) == 1
    assert float(rates[0]) > 1.05e-3
    page.run(4)
