"""Every test runs with the shape annotations enforced: a function that takes or returns another shape fails."""

from jaxtyping import install_import_hook

hook = install_import_hook("gatecast", "beartype.beartype")
