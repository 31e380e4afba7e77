"""Whole queries: statements, sources, comments, and what is said where a text stops being a query."""

import pytest

from unit.kql.syntax.outline import outline
from whatchanged.kql.errors import KqlSyntaxError
from whatchanged.kql.syntax import parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T", "Query(answers=[T])"),
        ("\n\n // why\nT // c\n// between\n| take 1 // end", "Query(answers=[(T | Take(count=1))])"),
        ("T;", "Query(answers=[T])"),
        ("T; U\n;", "Query(answers=[T, U])"),
        ("(T | take 1) | count", "Query(answers=[((T | Take(count=1)) | Count())])"),
        ("T | where x == '//' // c", 'Query(answers=[(T | Where(predicate=(x == "//")))])'),
        ("range x from 1 to 3 step 1 | count", "Query(answers=[(Range(column=x, start=1, stop=3, step=1) | Count())])"),
        ("range | take 1", "Query(answers=[(range | Take(count=1))])"),
        ("print 1", "Query(answers=[(Print(columns=[1]))])"),
        ("union T, U*", "Query(answers=[(Union(tables=[T, U*]))])"),
        ("union *", "Query(answers=[(Union(tables=[*]))])"),
        ('search "x"', 'Query(answers=[(Search(predicate="x"))])'),
        ("find in (T) where a", "Query(answers=[(Find(tables=[T], predicate=a))])"),
        ("evaluate f()", "Query(answers=[(Evaluate(plugin=f()))])"),
        ("datatable(a:int, b:string)[1, 'x', -2, 'y',]",
         'Query(answers=[DataTable(columns=[a:int, b:string], values=[1, "x", long(-2), "y"])])'),
        ("externaldata(a:string)[h@'https://x'] with (format='csv')", "Query(answers=[ExternalData()])"),
        ("let x = 5; T | take x", "Query(statements=[Let(name=x, value=5)], answers=[(T | Take(count=x))])"),
        ("let x = T | take 1; x", "Query(statements=[Let(name=x, value=(T | Take(count=1)))], answers=[x])"),
        ("let x = materialize(T | take 1); x",
         "Query(statements=[Let(name=x, value=materialize((T | Take(count=1))))], answers=[x])"),
        ("let f = (a:int, b:string = 'x', c:datetime = datetime(null)) { let d = a; d + 1 }; print f(1)",
         "Query(statements=[Let(name=f, value=FunctionDeclaration(parameters=[Parameter(name=a, type=int),"
         ' Parameter(name=b, type=string, default="x"), Parameter(name=c, type=datetime, default=datetime(null))],'
         " body=Query(statements=[Let(name=d, value=a)], answers=[(d + 1)])))], answers=[(Print(columns=[f(1)]))])"),
        ("let f = view () { T; }; f",
         "Query(statements=[Let(name=f, value=FunctionDeclaration(body=Query(answers=[T]), view=True))], answers=[f])"),
        ("let f = (T:(*), U:(a:int)) { T }; f",
         "Query(statements=[Let(name=f, value=FunctionDeclaration(parameters=[Parameter(name=T, type=None,"
         " any_table=True), Parameter(name=U, type=None, columns=[a:int])], body=Query(answers=[T])))], answers=[f])"),
        ("let f = () { }; T",
         "Query(statements=[Let(name=f, value=FunctionDeclaration(body=Query()))], answers=[T])"),
        ("let x = (5); print x", "Query(statements=[Let(name=x, value=5)], answers=[(Print(columns=[x]))])"),
        ("let ['a b'] = 1; T", 'Query(statements=[Let(name=["a b"], value=1)], answers=[T])'),
        ("set a; set b = 'x'; T",
         'Query(statements=[Set(name=a, value=None), Set(name=b, value="x")], answers=[T])'),
        ("declare query_parameters(a:int = 5, b:string); T",
         "Query(statements=[Declare(parameters=[Parameter(name=a, type=int, default=5),"
         " Parameter(name=b, type=string)])], answers=[T])"),
        ("declare pattern P = (a:string)[b:string] { ('x').['y'] = { T }; }; T",
         "Query(statements=[Pattern()], answers=[T])"),
        ("alias database D = cluster('x').database('y'); T", "Query(statements=[Alias()], answers=[T])"),
        ("restrict access to (T, U*); T", "Query(statements=[Restrict(tables=[T, U*])], answers=[T])"),
        ("let | take 1", "Query(answers=[(let | Take(count=1))])"),
        ("cluster('c').database('d').T | count", 'Query(answers=[(cluster("c").database("d").T | Count())])'),
    ],
)  # fmt: skip
def test_a_text_becomes_a_query(text: str, expected: str) -> None:
    assert outline(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "place", "message", "suggestion"),
    [
        ("T | whre x", "whre", "Query could not be parsed at 'whre': expected an operator", "where"),
        ("T | Where x", "Where", "Query could not be parsed at 'Where': expected an operator", "where"),
        ("T | sumarize count()", "sumarize",
         "Query could not be parsed at 'sumarize': expected an operator", "summarize"),
        ("T | project-awey a", "project-awey",
         "Query could not be parsed at 'project-awey': expected an operator", "project-away"),
        ("T | summarize hint.strategi=x count()", "hint.strategi",
         "Query could not be parsed at 'hint.strategi': expected a hint", "hint.strategy"),
        ("T | render table with (tile='x')", "tile",
         "Query could not be parsed at 'tile': expected a property", "title"),
        ("T | parse-kv a as (b:long) with (pair=';')", "pair",
         "Query could not be parsed at 'pair': expected a property", ""),
        ("T | where t > datetime(2020-02-30)", "datetime(2020-02-30)",
         "Query could not be parsed at 'datetime(2020-02-30)':"
         " expected a date such as 2024-05-01 or 2024-05-01T08:30:00Z", ""),
        ("T | xyzzy", "xyzzy", "Query could not be parsed at 'xyzzy': expected an operator", ""),
        ("T | where a contain 'x'", "contain",
         "Query could not be parsed at 'contain': expected an operator, a comma, | or ;", "contains"),
        ("T where x", "where", "Query could not be parsed at 'where': expected an operator, a comma, | or ;", ""),
        ("where x", "where", "Query could not be parsed at 'where': expected a table before the first operator", ""),
        ("T | project order by", "by", "Query could not be parsed at 'by': expected an operator, a comma, | or ;", ""),
        ("T | project by", "by", "Query could not be parsed at 'by': expected an expression", "['by']"),
        ("T | where a == b = 1", "=", "Query could not be parsed at '=': expected an operator, a comma, | or ;", "=="),
        ("T | where a == 'x", "'x", "Query could not be parsed at ''x': the string has no end", ""),
        (r"T | where a == '\d'", r"\d",
         r"Query could not be parsed at '\d': no such escape; write \\ for a backslash, or @'…'", ""),
        ("T | where a == “x”", "“", "Query could not be parsed at '“': unexpected character", ""),
        ("T | where t > datetime(soon)", "datetime(soon)",
         "Query could not be parsed at 'datetime(soon)':"
         " expected a date such as 2024-05-01 or 2024-05-01T08:30:00Z", ""),
        ("T | where a == 74be27de-1e4e-49d9-b579-fe0b331d3642", "74be27de-1e4e-49d9-b579-fe0b331d3642",
         "Query could not be parsed at '74be27de-1e4e-49d9-b579-fe0b331d3642': expected an expression",
         "guid(74be27de-1e4e-49d9-b579-fe0b331d3642)"),
        ("datatable(a:strin)[]", "strin", "Query could not be parsed at 'strin': expected a type", "string"),
        ("T | where (a", "", "Query could not be parsed at its end: expected )", ""),
        ("T |", "", "Query could not be parsed at its end: expected an operator", ""),
        ("", "", "Query could not be parsed at its end: expected a query", ""),
        ("let x = 5", "", "Query could not be parsed at its end: expected a query", ""),
    ],
)  # fmt: skip
def test_an_error_says_where_and_what(text: str, place: str, message: str, suggestion: str) -> None:
    with pytest.raises(KqlSyntaxError) as caught:
        parse(text)
    error = caught.value
    assert (error.message, error.suggestion) == (message, suggestion)
    assert text[error.span.start : error.span.end] == place
    assert error.span.start == (text.rindex(place) if place else len(text))


def test_an_error_is_shown_in_its_line() -> None:
    text = "T\n| where a\n| tke 5"
    with pytest.raises(KqlSyntaxError) as caught:
        parse(text)
    assert caught.value.explain(text).splitlines()[1:] == ["| tke 5", "  ^^^", "did you mean take?"]
