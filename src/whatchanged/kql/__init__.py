"""The query compiler: KQL text to ClickHouse SQL with bound parameters. Standard library only; imports nothing of ours.

Stages, with a typed value between each two:

```
text ──syntax.lexer──► tokens ──syntax.parser──► tree (spans) ──binder──► plan (typed, names resolved) ──sql──► SQL
```

The schema comes in as an argument; functions are tables (`functions`); values never become SQL text. What is not
supported is refused with its place, a marked excerpt and the nearest supported name: a wrong answer is the worst
defect there is.
"""
