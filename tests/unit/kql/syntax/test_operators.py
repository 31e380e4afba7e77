"""Operators: each with its clauses, and what is no form of it."""

import pytest

from unit.kql.syntax.outline import outline
from whatchanged.kql.errors import KqlSyntaxError, KqlUnsupported
from whatchanged.kql.syntax import parse, tree


def operator(text: str) -> tree.Operator:
    (answer,) = parse(f"T | {text}").answers
    assert isinstance(answer, tree.Pipeline)
    assert outline(answer.source) == "T"
    (found,) = answer.operators
    assert (found.span.start, found.span.end) == (4, 4 + len(text))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("where a", "Where(predicate=a)"),
        ("filter a", "Where(predicate=a)"),
        ("extend a = 1, b", "Extend(columns=[a = 1, b])"),
        ("extend (a, b) = f(), by = 2", "Extend(columns=[(a, b) = f(), by = 2])"),
        ("project", "Project()"),
        ("project a, b = c, ['d e']", 'Project(columns=[a, b = c, ["d e"]])'),
        ("project-away a*, *b, *c*1, d", "ProjectAway(columns=[a*, *b, *c*1, d])"),
        ("project-keep *", "ProjectKeep(columns=[*])"),
        ("project-rename a = b, c = d", "ProjectRename(columns=[a = b, c = d])"),
        ("project-reorder a asc, b* granny-desc, c",
         "ProjectReorder(columns=[SortKey(expression=a, order=asc), SortKey(expression=b*, order=granny-desc),"
         " SortKey(expression=c)])"),
        ('project-by-names "a", b', 'ProjectByNames(columns=["a", b])'),
        ("distinct *", "Distinct(columns=[*])"),
        ("distinct a, b", "Distinct(columns=[a, b])"),
        ("summarize", "Summarize()"),
        ("summarize by a", "Summarize(by=[a])"),
        ("summarize count(), x = arg_max(t, *) by bin(t, 1h), y = z",
         "Summarize(aggregates=[count(), x = arg_max(t, *)], by=[bin(t, timespan(01:00:00)), y = z])"),
        ("summarize hint.strategy=shuffle hint.num_partitions = 4 count()",
         "Summarize(options=[hint.strategy = shuffle, hint.num_partitions = 4], aggregates=[count()])"),
        ("summarize count() by t bin=1h",
         "Summarize(options=[bin = timespan(01:00:00)], aggregates=[count()], by=[t])"),
        ("sort by a", "Sort(keys=[SortKey(expression=a)])"),
        ("order by a desc, b asc nulls first, c nulls last",
         "Sort(keys=[SortKey(expression=a, order=desc), SortKey(expression=b, order=asc, nulls=first),"
         " SortKey(expression=c, nulls=last)])"),
        ("top 5 by a + b desc", "Top(count=5, keys=[SortKey(expression=(a + b), order=desc)])"),
        ("take 5", "Take(count=5)"),
        ("limit n", "Take(count=n)"),
        ("count", "Count()"),
        ("count as n", "Count(options=[as = n])"),
        ("sample 3", "Sample(count=3)"),
        ("sample-distinct 3 of a", "SampleDistinct(count=3, column=a)"),
        ("join kind=inner hint.remote=left (U | where x) on a, $left.b == $right.c",
         "Join(options=[kind = inner, hint.remote = left], right=(U | Where(predicate=x)),"
         " conditions=[a, ($left.b == $right.c)])"),
        ("join U on a", "Join(right=U, conditions=[a])"),
        ("lookup kind=leftouter (U) on a", "Lookup(options=[kind = leftouter], right=U, conditions=[a])"),
        ("union kind=outer withsource=src isfuzzy=true (U | take 1), V*, f(1), database('d').W",
         "Union(options=[kind = outer, withsource = src, isfuzzy = bool(true)],"
         ' tables=[(U | Take(count=1)), V*, f(1), database("d").W])'),
        ("mv-expand a", "MvExpand(columns=[MvColumn(expression=a)])"),
        ("mvexpand kind=array with_itemindex=i a, b = c.d to typeof(long) limit 5",
         "MvExpand(options=[kind = array, with_itemindex = i], columns=[MvColumn(expression=a),"
         " MvColumn(expression=b = c.d, type=long)], limit=5)"),
        ("mv-apply x = a to typeof(string) limit 3 on (where x > 1 | take 1)",
         "MvApply(columns=[MvColumn(expression=x = a, type=string)],"
         " subquery=[Where(predicate=(x > 1)), Take(count=1)], limit=3)"),
        ("parse kind=regex flags=Ui a with * 'x' b:long 'y' c *",
         'Parse(options=[kind = regex, flags = Ui], expression=a, pattern=[*, "x", b:long, "y", c, *])'),
        ("parse-where a with b 'x' 'y'", 'Parse(expression=a, pattern=[b, "xy"], where=True)'),
        ('parse-kv a as (b:long, c:string) with (quote="x", greedy=true)',
         'ParseKv(options=[quote = "x", greedy = bool(true)], expression=a, columns=[b:long, c:string])'),
        ("make-series n = count() default=0, avg(x) on t from a to b step 1d by c, d = e",
         "MakeSeries(aggregates=[[n = count(), 0], [avg(x), None]], axis=t, start=a, stop=b,"
         " step=timespan(1.00:00:00), by=[c, d = e])"),
        ("make-series count() on t step 1",
         "MakeSeries(aggregates=[[count(), None]], axis=t, start=None, stop=None, step=1)"),
        ("make-series count() on t in range(a, b, 1h) by c",
         "MakeSeries(aggregates=[[count(), None]], axis=t, start=a, stop=b, step=timespan(01:00:00), by=[c],"
         " in_range=True)"),
        ("render timechart", "Render(chart=timechart)"),
        ("render 3Dchart", "Render(chart=3Dchart)"),
        ('render table with (title="x", ycolumns=a, b, kind=stacked, ymin=0)',
         'Render(options=[title = "x", ycolumns = dynamic(["a", "b"]), kind = stacked, ymin = 0], chart=table)'),
        ('render barchart kind=stacked title="x" by a, b',
         'Render(options=[kind = stacked, title = "x", by = dynamic(["a", "b"])], chart=barchart)'),
        ("serialize", "Serialize()"),
        ("serialize n = row_number()", "Serialize(columns=[n = row_number()])"),
        ("getschema", "GetSchema()"),
        ("as hint.materialized=true X", "As(options=[hint.materialized = bool(true)], name=X)"),
        ("consume", "Consume()"),
        ("invoke f(1)", "Invoke(function=f(1))"),
        ("evaluate pivot(a)", "Evaluate(plugin=pivot(a))"),
        ("evaluate bag_unpack(a) : (b:long, c:string)", "Evaluate(plugin=bag_unpack(a), schema=[b:long, c:string])"),
        ("evaluate f() : (*, a:int)", "Evaluate(plugin=f(), schema=[a:int], all_columns=True)"),
        ('search kind=case_sensitive in (A, B*) "x" and a:"y"',
         'Search(options=[kind = case_sensitive], tables=[A, B*], predicate=("x" and (a : "y")))'),
        ("search *", "Search(predicate=*)"),
        ("search * and a == 1", "Search(predicate=(* and (a == 1)))"),
        ("find withsource=s in (A, B*) where a project b, c:long, pack(*)",
         "Find(options=[withsource = s], tables=[A, B*], predicate=a, columns=[b, c:long, pack(*)], smart=False)"),
        ("find where a", "Find(predicate=a)"),
        ("fork a=(where x | count) (take 5)",
         "Fork(branches=[[a, [Where(predicate=x), Count()]], [None, [Take(count=5)]]])"),
        ("facet by a, b with (take 5)", "Facet(columns=[a, b], subquery=[Take(count=5)])"),
        ("partition hint.concurrency=2 by a (top 5 by b)",
         "Partition(options=[hint.concurrency = 2], column=a,"
         " subquery=[Top(count=5, keys=[SortKey(expression=b)])])"),
        ("partition by a { U | take 5 }", "Partition(column=a, subquery=Query(answers=[(U | Take(count=5))]))"),
        ("reduce by a with threshold=0.5", "Reduce(options=[threshold = real(0.5)], column=a)"),
        ("top-nested 3 of a with others='x' by sum(b) desc, top-nested of c by max(d)",
         'TopNested(levels=[TopNestedLevel(count=3, column=a, others="x", by=sum(b), order=desc),'
         " TopNestedLevel(count=None, column=c, others=None, by=max(d), order=None)])"),
        ("top-hitters 5 of a by b", "TopHitters(count=5, column=a, by=b)"),
        ("scan with_match_id=m declare (x:long = 0) with (step s: true => x = s.x; step e output=last: a;)",
         "Scan(options=[with_match_id = m], declared=[Parameter(name=x, type=long, default=0)],"
         " steps=[ScanStep(name=s, condition=bool(true), assignments=[[x, s.x]]),"
         " ScanStep(name=e, condition=a, output=last)])"),
        ("range x from 1 to 10 step 2", "Range(column=x, start=1, stop=10, step=2)"),
        ("print a = 1", "Print(columns=[a = 1])"),
    ],
)  # fmt: skip
def test_an_operator_becomes_a_node(text: str, expected: str) -> None:
    assert outline(operator(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["extend", "distinct", "take", "sort a", "sort by", "sort by a nulls", "top 5", "top 5 by a, b", "join",
     "join kind=inner", "lookup U", "union", "mv-expand", "mv-expand a to long", "mv-apply a", "mv-apply a on take 1",
     "parse a", "parse-kv a", "make-series count() on t", "make-series count() on t from 1 to 2", "render", "render 5",
     "invoke f", "evaluate", "search", "find", "fork", "fork a", "facet a", "partition a", "partition by a",
     "reduce a", "top-nested 3 of a", "top-hitters 5", "scan", "scan with (step s: a)", "as", "count()",
     "project a,", "project-away a b", "project-away 5", "project-rename a", "summarize count() by", "count as 5",
     "sample-distinct 5", "getschema 1", "take 5 take 6", "where", "where a b", ""],
)  # fmt: skip
def test_what_is_no_form_of_an_operator_is_refused(text: str) -> None:
    with pytest.raises(KqlSyntaxError):
        operator(text)


@pytest.mark.parametrize("name", ["graph-match", "make-graph", "macro-expand", "assert-schema", "__executeAndCache"])
def test_operators_without_a_tree_are_refused_as_such(name: str) -> None:
    with pytest.raises(KqlUnsupported) as caught:
        parse(f"T | {name} x")
    assert (caught.value.span.start, caught.value.span.end) == (4, 4 + len(name))
    assert name in caught.value.message
