"""The pages of reports: a template, with the plots inside."""

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from clients.benchmark.rounding import figure


def render(template: Path, **values: Any) -> str:
    """Returns the page of a template; its filter `figure` writes numbers."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    return environment.get_template(template.name).render(values)


def embed(plot: Figure, media_type: str, **options: Any) -> str:
    """Returns a plot as the source of an <img>, and closes it; `options` are those of `savefig`."""
    buffer = io.BytesIO()
    plot.savefig(buffer, format=media_type.partition("/")[2].partition("+")[0], **options)
    plt.close(plot)
    return data_url(buffer.getvalue(), media_type)


def data_url(content: bytes, media_type: str) -> str:
    """Returns the content of a picture as the source of an <img>."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
