"""Sphinx extension: the library's own pages, with signatures as its files have them and docstrings as text.

autodoc writes the pages. What it would show of a signature are the objects behind the names, rules and all;
here it is the source's own words: `marginal(x_0: Points, t: Steps, schedule: Schedule) -> Gaussian`.
Docstrings are written for an editor, in Unicode: what reStructuredText would misread (x_t, |x|, *shape)
is escaped. In a signature, classes and names such as `Points` are links.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CODE = re.compile(r"`([^`]+)`")
SPECIAL = re.compile(r"(?<!\\)([*_|])")


def signature_of(thing: Any) -> tuple[str, str]:
    """Parameters and result of a function or class as its source has them, with rules left out."""
    if is_dataclass(thing):
        return f"({', '.join(fields_of(thing))})", ""
    function = inspect.unwrap(thing.__init__ if inspect.isclass(thing) else thing)
    if not inspect.isfunction(function):  # built in, as that of a NamedTuple
        return "", ""
    tree = Names().visit(parsed(function))
    parameters = [*tree.args.posonlyargs, *tree.args.args]
    if parameters and parameters[0].arg in ("self", "cls"):
        (tree.args.posonlyargs or tree.args.args).pop(0)
    return f"({ast.unparse(tree.args)})", ast.unparse(tree.returns) if tree.returns else ""


def parsed(thing: Any) -> ast.AST:
    """The source of a function or class, read."""
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]


def fields_of(kind: type) -> Iterator[str]:
    """The fields of a dataclass that its caller gives, in the words of the source."""
    given = {field.name for field in fields(kind) if field.init}
    for line in Names().visit(parsed(kind)).body:
        if isinstance(line, ast.AnnAssign) and line.target.id in given:
            default = f" = {ast.unparse(line.value)}" if line.value else ""
            yield f"{line.target.id}: {ast.unparse(line.annotation)}{default}"


class Names(ast.NodeTransformer):
    """`Annotated[Points, like("x_0")]` reads as Points, and "Gaussian", a class in quotes, as Gaussian."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Take the type alone of what is annotated with rules."""
        is_annotated = isinstance(node.value, ast.Name) and node.value.id == "Annotated"
        return self.visit(node.slice.elts[0]) if is_annotated else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Read the name of a class in quotes as a name."""
        quoted = isinstance(node.value, str) and node.value.isidentifier() and node.value[0].isupper()
        return ast.Name(node.value) if quoted else node


def write_signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, result: str | None
) -> tuple[str, str] | None:
    """Give autodoc the signature of the source."""
    return signature_of(thing) if what in ("function", "method", "class") else None


def escape(line: str) -> str:
    """A line of a docstring as reStructuredText: `code` as a literal, and nothing else with a meaning."""
    parts = CODE.split(line)  # text, code, text, …
    return "".join(f"``{part}``" if i % 2 else SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))


def write_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Escape a docstring in place; formulas, which are indented outside of its sections, stay as they are."""
    # Of a property's first line, napoleon takes what stands before a colon for a type.
    found = [""] if what == "property" else []
    section, block = False, False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        section = line in ("Args:", "Attributes:", "Raises:") or (section and (indent > 0 or not line))
        starts = indent >= 4 and not section and not block and (not found or not found[-1])
        if starts:
            found += ["::", ""]
        block = bool(line and indent >= 4 and not section and (block or starts)) or (block and not line)
        found.append(line if block else escape(line))
    lines[:] = found


def keep(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Show a class's public methods without a docstring, too: `forward`, of which its class says all."""
    return False if what == "class" and inspect.isfunction(thing) and not name.startswith("_") else None


def link_name(app: Sphinx, env: BuildEnvironment, node: nodes.Element, text: nodes.Element) -> Any:
    """Lead from a name such as `Points`, which Sphinx takes for a class's, to where it is explained."""
    if (node.get("refdomain"), node.get("reftype")) != ("py", "class"):
        return None
    python, page = env.get_domain("py"), node["refdoc"]
    return python.resolve_xref(env, page, app.builder, "type", node["reftarget"], node, text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Before napoleon, which makes lists of the sections."""
    app.connect("autodoc-skip-member", keep)
    app.connect("missing-reference", link_name)
    app.connect("autodoc-process-signature", write_signature)
    app.connect("autodoc-process-docstring", write_docstring, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
