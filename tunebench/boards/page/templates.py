"""The templates of pages; everything that a template shows is escaped unless it is marked as safe."""

from __future__ import annotations

from typing import Any

from tunebench.naming import printable


def rendered(template: str, **content: Any) -> str:
    """The file ``template`` of this folder, filled in; an unknown name in it is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tunebench.boards.page", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.policies["json.dumps_kwargs"] = {}  # the order of variants and costs is meant
    return environment.get_template(template).render(**content)
