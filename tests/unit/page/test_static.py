"""The files of the page: nothing from elsewhere, nothing inline, and no way for a text to become markup."""

from __future__ import annotations

import re

import pytest

from towpath.page.files import files

FILES = files()
MODULES = sorted(name for name in FILES if name.endswith(".js"))
PAGES = sorted(name for name in FILES if name.endswith(".html"))
MARKUP = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|createContextualFragment"
CODE = r"\beval\b|\bFunction\(|setTimeout\(\s*[\"'`]|setInterval\(\s*[\"'`]|javascript:"


def text(name: str) -> str:
    return FILES[name].content.decode()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_makes_neither_markup_nor_code_of_text(name: str) -> None:
    assert not re.findall(f"{MARKUP}|{CODE}", text(name))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_nothing_inline(name: str) -> None:
    source = text(name)
    assert not re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", source)


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    urls = re.findall(r"(?:https?:)?//[\w.-]+", text(name).replace("http://www.w3.org/2000/svg", ""))
    assert not [url for url in urls if not url.startswith("// ")]


@pytest.mark.parametrize("name", [*MODULES, *PAGES])
def test_what_is_imported_is_there(name: str) -> None:
    imported = re.findall(r'from "\./([\w-]+\.js)"|/static/([\w.-]+)', text(name))
    assert {first or second for first, second in imported} <= FILES.keys()


def test_every_module_is_used() -> None:
    used = set(
        re.findall(r'from "\./([\w-]+\.js)"|/static/([\w-]+\.js)', "".join(map(text, [*MODULES, *PAGES])))
    )
    assert {first or second for first, second in used} == set(MODULES)


def test_an_identifier_in_a_module_exists_in_the_page() -> None:
    sought = set(re.findall(r'byId\("([\w-]+)"\)', "".join(map(text, MODULES))))
    there = set(re.findall(r'id="([\w-]+)"', text("index.html")))
    assert sought <= there
