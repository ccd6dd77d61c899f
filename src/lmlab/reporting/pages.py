"""How pages are rendered from templates."""

from typing import TYPE_CHECKING

from lmlab.reporting.wording import FILTERS

if TYPE_CHECKING:
    from jinja2 import Environment


def page_environment(package: str) -> "Environment":
    """Renders the templates of a package, which may include those of the report; HTML is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(name) for name in dict.fromkeys([package, "lmlab.reporting"])]
        ),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(FILTERS)
    return environment
