"""Prompt templates and what the library of sd-dynamic-prompts makes of them -> tests/golden/templates.json.

Needs dynamicprompts 0.31.0.
"""

import json
import tempfile
from pathlib import Path

from dynamicprompts.generators import RandomPromptGenerator
from dynamicprompts.wildcards import WildcardManager

OUT = Path(__file__).parent.parent / "golden/templates.json"
FILES = {
    "colors": "red\n# a comment\nblue\n\n  light green  \nred\n",
    "animals/pets": "cat\ndog\n{black|white} rabbit\n",
    "animals/wild": "fox\n__colors__ bird\n",
    "one": "alone\n",
    "Größe": "größer\nkleiner\nälter\n",
}
TEMPLATES = [
    "a plain prompt, (weighted:1.2) [a:b:0.5]",
    "a {red|blue|green} house",
    "{a|b}{c|d} {e|f|g}",
    "a __colors__ hat and a __colors__ coat",
    "{0.5::rare|3::often|usual} thing",
    "{2$$a|b|c|d}",
    "{1-3$$ and $$a|b|c|d}",
    "{-2$$x|y|z}",
    "{2-$$; $$x|y|z}",
    "{5$$a|b}",
    "{0$$a|b} none",
    "{2$$|a|b}",
    "{ a | b | c }",
    "{one}, {only one}",
    "{__colors__|__animals/pets__|nothing}",
    "{2$$__colors__}",
    "{1-2$$ with $$__animals/wild__}",
    "__animals/*__ in the __one__",
    "__pets__ and __wild__",
    "{a {very|rather} {big|small}|an} animal",
    "{|ornate} frame",
    "{2$$3::a|1::b|3::c|2::d}",
    "{3$$1::a|2::b|1::c|2::a}",
    "__Größe__ {日本|中国} é",
    "__animals/{pets|wild}__",
    "snake_case and _one_ underscore",
    "{~a|b|c} __~colors__",
    "{<lora:ink:0.8>|<lora:oil:1>} (x:{1.1|1.2|1.3})",
    "{a|b} | {c|d}",
]
SEEDS = [0, 1, 7, 42, 4294967295, 4294967296, 648312782957426, 18446744073709551615]


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name, text in FILES.items():
            path = Path(folder, name + ".txt")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        generator = RandomPromptGenerator(WildcardManager(Path(folder)))
        # A list of seeds: a single 0 counts as none.
        made = [
            [template, [generator.generate(template, 2, seeds=[seed, seed])[0] for seed in SEEDS]] for template in TEMPLATES
        ]
    OUT.write_text(json.dumps({"files": FILES, "seeds": SEEDS, "templates": made}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
