"""A real JupyterLab in a real browser, as a person has it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

_START_S = 60.0
_TIMEOUT_MS = 30_000
_NUMBERED = re.compile(r"\[\d+\]:")
_NOT_OURS = "Could not restore the debugger state"
_INSTALL = "apt-get install -y --no-install-recommends chromium fonts-dejavu-core"


def chromium() -> str:
    """Where Chromium is; on a machine of one's own it is installed if it is missing.

    Raises:
        RuntimeError: there is none, and only root may install it.
    """
    if (found := shutil.which("chromium")) is None:
        if os.geteuid() != 0:
            raise RuntimeError(f"The widgets' tests need a browser. Type: sudo {_INSTALL}")
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run([*_INSTALL.split(), "-qq"], check=True, env=environment)
        found = shutil.which("chromium")
    assert found is not None
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield started
        finally:
            started.close()


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab.

    Attributes:
        url: with its port.
        token: what a browser needs to get in.
        folder: where its notebooks are.
    """

    url: str
    token: str
    folder: Path

    def write(self, name: str, *cells: str) -> None:
        """Put a notebook into the folder."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(textwrap.dedent(cell).strip()) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, self.folder / name)

    @property
    def ipython_folder(self) -> Path:
        """Where its kernels keep their clusters."""
        return self.folder.parent / "ipythondir"

    def log(self) -> list[str]:
        """What the server has complained about."""
        return (self.folder.parent / "lab.log").read_text(errors="replace").splitlines()

    def read(self, name: str) -> nbformat.NotebookNode:
        """A notebook as it was saved."""
        return nbformat.read(self.folder / name, as_version=4)


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    """JupyterLab on this machine, with settings of its own; it is ended with its kernels."""
    names = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR")
    places = {name: str(folder / name.lower()) for name in names}
    runtime = folder / "runtime"
    notebooks = folder / "notebooks"
    notebooks.mkdir()
    _silence_news(Path(places["JUPYTERLAB_SETTINGS_DIR"]))
    log = (folder / "lab.log").open("wb")
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", "--port=0", "--expose-app-in-browser"]
    command += [f"--ServerApp.root_dir={notebooks}", "--log-level=WARN"]
    environment = {**os.environ, **places, "JUPYTER_RUNTIME_DIR": str(runtime)}
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        server = _await_server(process, runtime)
        yield Lab(f"http://127.0.0.1:{server['port']}", server["token"], notebooks)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


_KERNEL = """() => {
    const app = window.jupyterapp;
    const panel = app?.shell.currentWidget;
    if (!app?.commands.hasCommand("apputils:change-theme")) return "no application";
    if (!panel?.context?.isReady) return "no notebook";
    if (!panel.sessionContext.isReady) return "no session";
    const kernel = panel.sessionContext.session?.kernel;
    if (kernel?.connectionStatus !== "connected") return kernel?.connectionStatus ?? "no kernel";
    return kernel.status;
}"""
_COUNT_PIXELS = """([figure, colour]) => {
    const canvases = [];
    const walk = (node) => {
        if (node.tagName === "CANVAS") canvases.push(node);
        for (const child of [...node.children, ...(node.shadowRoot?.children ?? [])]) walk(child);
    };
    walk(document.querySelectorAll(".idl-figure, .idl-cell")[figure]);
    let count = 0;
    for (const canvas of canvases.filter((one) => one.width && one.height)) {
        const context = canvas.getContext("2d");
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
        for (let at = 0; at < data.length; at += 4) {
            const isOpaque = data[at + 3] > 200;
            const far = colour.map((part, index) => Math.abs(part - data[at + index]));
            count += isOpaque && Math.max(...far) < 30;
        }
    }
    return count;
}"""


class Notebook:
    """A notebook that is open in a browser's page.

    Attributes:
        page: what Playwright drives.
        name: of its file.
        requests: addresses of everything that the page has asked for.
        errors: what the page's console has complained about.
    """

    def __init__(
        self, opened: Browser | BrowserContext, server: Lab, name: str, *, theme: str = "Light"
    ) -> None:
        self._server = server
        self.name = name
        self.page: Page = opened.new_page()
        self.page.set_viewport_size({"width": 1280, "height": 1300})
        self.page.set_default_timeout(_TIMEOUT_MS)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)
        self.page.goto(f"{server.url}/doc/tree/{name}?token={server.token}")
        self.await_kernel()
        self.use_theme(theme)

    def _note(self, message: Any) -> None:
        if message.type == "error" and not message.text.startswith(_NOT_OURS):
            self.errors.append(message.text)

    def await_kernel(self) -> None:
        """Wait until cells can be run: a run before the connection is up gets lost."""
        try:
            self.page.wait_for_function(f"() => ({_KERNEL})() === 'idle'", timeout=1000 * _START_S)
        except PlaywrightTimeout as error:
            state = self.page.evaluate(_KERNEL)
            told = "\n".join([*self.errors, *self._server.log()[-20:]])
            raise AssertionError(f"The kernel is not idle but: {state}\n{told}") from error

    def command(self, name: str, **arguments: Any) -> None:
        """Have JupyterLab carry out one of its commands."""
        self.page.evaluate(
            "([name, words]) => { void window.jupyterapp.commands.execute(name, words) }",
            [name, arguments],
        )

    def use_theme(self, theme: str) -> None:
        """``Light`` or ``Dark``."""
        is_light = "true" if theme == "Light" else "false"
        self.command("apputils:change-theme", theme=f"JupyterLab {theme}")
        selector = f'body[data-jp-theme-light="{is_light}"]'
        self.page.wait_for_selector(selector, state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def run(self, cell: int, *, wait: bool = True) -> None:
        """Run the ``cell``-th cell, from 0, as soon as the kernel is idle."""
        self.await_kernel()
        self.page.evaluate(
            "at => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = at }", cell
        )
        self.command("notebook:run-cell")
        if wait:
            self.await_cell(cell)

    def await_cell(self, cell: int) -> None:
        """Wait until a cell has run."""
        expect(self.prompt(cell)).to_have_text(_NUMBERED, timeout=_TIMEOUT_MS)

    def button(self, label: str) -> Locator:
        """A widget's button; an icon comes before its label."""
        name = re.compile(rf"(^|\W){re.escape(label)}$")
        return self.page.locator(".idl").get_by_role("button", name=name)

    def prompt(self, cell: int) -> Locator:
        """What stands beside a cell: ``[3]:``, or ``[*]:`` while it runs."""
        return self.page.locator(".jp-Notebook-cell").nth(cell).locator(".jp-InputPrompt")

    def text(self, cell: int) -> str:
        """What a cell has printed."""
        output = self.page.locator(".jp-Notebook-cell").nth(cell).locator(".jp-OutputArea-output")
        return "\n".join(output.all_inner_texts())

    @property
    def foreign_requests(self) -> list[str]:
        """What the page has asked others for than the server."""
        own = (self._server.url, "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]

    def points(self, source: str, figure: int = 0) -> int:
        """How many rows a plot's source has in the browser."""
        return self.page.evaluate(
            """([figure, source]) => {
                const element = document.querySelectorAll(".idl-figure")[figure];
                const versions = Object.values(window.Bokeh ?? {});
                const views = versions.flatMap((each) => each?.index?.roots ?? []);
                const view = views.find((one) => element?.contains(one.el));
                return view?.model.select_one(source)?.get_length() ?? -1;
            }""",
            [figure, source],
        )

    def await_points(
        self, source: str, count: int, figure: int = 0, timeout_s: float = _TIMEOUT_MS / 1000
    ) -> None:
        """Wait until a plot's source has that many rows in the browser, or more."""
        deadline_s = time.monotonic() + timeout_s
        while (seen := self.points(source, figure)) < count:
            assert time.monotonic() < deadline_s, f"{source} has {seen} points, not {count}"
            self.page.wait_for_timeout(20)

    def inked(self, colour: tuple[int, int, int], figure: int = 0) -> int:
        """How many pixels of a plot have about this colour."""
        return self.page.evaluate(_COUNT_PIXELS, [figure, list(colour)])

    def await_ink(self, colour: tuple[int, int, int], more_than: int, figure: int = 0) -> None:
        """Wait until a plot has more than so many pixels of about this colour."""
        deadline_s = time.monotonic() + _TIMEOUT_MS / 1000
        while (seen := self.inked(colour, figure)) <= more_than:
            assert time.monotonic() < deadline_s, f"{seen} pixels of {colour}, not {more_than}"
            self.page.wait_for_timeout(20)

    def close(self) -> None:
        """Shut the kernel down and close the page."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.close()

    def save(self) -> None:
        """Save the notebook, and wait until it is on disk."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")

    def reload(self) -> None:
        """Load the page anew; the kernel goes on."""
        self.page.reload()
        self.await_kernel()

    def picture(self, path: Path, *, of: str | None = None) -> None:
        """A screenshot."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if of is None:
            self.page.screenshot(path=path)
        else:
            self.page.locator(of).first.screenshot(path=path)


def _silence_news(settings: Path) -> None:
    """JupyterLab asks a new user whether it may fetch news, over what is to be seen."""
    file = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text('{"fetchNews": "false", "checkForUpdates": false}')


def _await_server(process: subprocess.Popen[bytes], runtime: Path) -> dict[str, Any]:
    """What the server writes about itself as soon as it listens."""
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        for written in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(written.read_text())
            except json.JSONDecodeError:  # half written
                continue
        time.sleep(0.05)
    raise RuntimeError(
        f"JupyterLab did not start within {_START_S:g} s; see lab.log in {runtime}/.."
    )
