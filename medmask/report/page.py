"""The page as one file that loads nothing: style and script are in it, and no other may run."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from medmask.report.html import Markup, element
from medmask.report.section import Section
from medmask.version import __version__


def make_page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Write an HTML document.

    Its content security policy forbids all connections, and all styles and scripts but its own:
    even text that had got past the escaping could not act.

    Args:
        title: of the page.
        lead: a line below it.
        sections: in their order.
    """
    style, script = _resource("page.css"), _resource("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"MedMask {__version__}"),
        element("title", title),
        element("style", Markup(style)),
    )
    links = [
        element("li", element("a", section.title, href=f"#{section.anchor}"))
        for section in sections
    ]
    body = element(
        "body",
        element(
            "header",
            element("h1", title),
            element("p", lead, class_="lead"),
            element("p", "Not for clinical use.", class_="warning"),
        ),
        element("nav", element("ul", links), aria_label="Sections"),
        element("main", [section.to_html() for section in sections]),
        element(
            "footer",
            element(
                "p",
                f"Made by MedMask {__version__}. The pictures and the metadata are those of the "
                "data sets: pass the page on as far as licenses and the patients' privacy allow.",
            ),
        ),
        element("script", Markup(script)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _resource(name: str) -> str:
    return resources.files("medmask.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
