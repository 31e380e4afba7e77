"""Addresses, hashes, encodings and formats of texts on the engine, beside the manual's own examples."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.kql.examples import Engine
from whatchanged.kql.compile import compile_query
from whatchanged.kql.errors import KqlError, KqlUnsupported
from whatchanged.kql.types import Schema


def _value(engine: Engine, expression: str) -> Any:
    return engine.rows(compile_query(f"print v = {expression}", Schema({})))[0][0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # conversion isn't successful: null (pages of parse_ipv4, ipv4_compare, ipv4_is_in_any_range)
        ("parse_ipv4('192.168.1.256')", None),
        ("parse_ipv4('192.168.1.1/33')", None),
        ("parse_ipv4('')", None),
        ("parse_ipv4_mask('192.168.1.1', 24)", 3232235776),
        ("ipv4_compare('10.0.0.1', 'x')", None),
        ("ipv4_compare('10.0.0.1', '10.0.0.2')", -1),
        ("ipv4_compare('200.0.0.1', '10.0.0.2', 8)", 1),
        ("ipv4_compare('10.0.0.1', '10.0.0.1', 33)", None),
        ("ipv4_is_match('10.1.2.3', '10.0.0.0/8')", True),
        ("ipv4_is_match('10.1.2.3', '11.0.0.0', 0)", True),
        ("ipv4_is_in_range('11.1.2.3', '10.0.0.0/8')", False),
        ("ipv4_is_in_any_range('x', '10.0.0.0/8')", None),
        ("ipv4_is_private('172.31.0.1')", True),
        ("ipv4_is_private('172.32.0.1')", False),
        ("ipv4_is_private('x')", None),
        ("ipv4_netmask_suffix('10.1.2.3/99')", None),
        ("format_ipv4(3232236034, 24)", "192.168.2.0"),
        ("format_ipv4('x')", ""),
        ("format_ipv4_mask('10.1.2.3')", "10.1.2.3/32"),
        ("parse_ipv6('x')", ""),
        ("parse_ipv6('fe80::1')", "fe80:0000:0000:0000:0000:0000:0000:0001"),
        ("parse_ipv6_mask('127.0.0.1', 24)", "0000:0000:0000:0000:0000:ffff:7f00:0000"),
        ("ipv6_compare('fe80::1', 'fe80::2')", -1),
        ("ipv6_is_match('fe80::1', 'fe81::2/12')", True),
        ("ipv6_is_match('x', 'fe81::2')", None),
        ("ipv4_range_to_cidr_list('10.0.0.1', '10.0.0.6')",
         '["10.0.0.1/32","10.0.0.2/31","10.0.0.4/31","10.0.0.6/32"]'),
        ("ipv4_range_to_cidr_list('0.0.0.0', '255.255.255.255')", '["0.0.0.0/0"]'),
        ("ipv4_range_to_cidr_list('10.0.0.9', '10.0.0.9')", '["10.0.0.9/32"]'),
        ("has_ipv4('see 10.1.2.3.', '10.1.2.3')", True),
        ("has_ipv4('1.10.1.2.3', '10.1.2.3')", False),
        ("has_ipv4_prefix('at 10.1.2.300', '10.1.')", False),
        ("has_any_ipv4_prefix('at 10.1.2.30:80', '11.', '10.1.')", True),
        # hashes: https://xxhash.com, the manual's figures; of no text, those of the standards
        ("hash('World') == hash_xxhash64('World')", True),
        ("hash('World', 100)", 51),
        ("hash_sha1('')", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("hash_md5('')", "d41d8cd98f00b204e9800998ecf8427e"),
        ("hash_sha256('')", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        # base64 of what is no text: empty; there and back again
        ("base64_decode_tostring('%%%')", ""),
        ("base64_encode_fromarray(base64_decode_toarray('S3VzdG8='))", "S3VzdG8="),
        ("tostring(base64_decode_toguid(base64_encode_fromguid(guid(ae3133f2-6e22-49ae-b06a-16e6a9b212eb))))",
         "ae3133f2-6e22-49ae-b06a-16e6a9b212eb"),
        ("url_encode('é&~')", "%c3%a9%26%7e"),
        ("url_decode(url_encode('a b/é+%'))", "a b/é+%"),
        ("parse_url('https://host/?a=x%20y').['Query Parameters'].a", '"x y"'),
        ("tostring(parse_url('https://host/').Path)", ""),
        ("tostring(parse_url('https://[fe80::1]:81/x').Host)", "[fe80::1]"),
        ("tostring(parse_url('http://u@h/p').Username)", "u"),
        ("parse_urlquery('')", '{"Query Parameters":{}}'),
        ("parse_version('1.2')", 1000000020000000000000000),
        ("parse_version('1.2.3.4.5')", None),
        ("parse_version('123456789')", None),
        ("parse_csv('a,,\"b,c\"')", '["a","","b,c"]'),
        ("parse_csv('')", '[""]'),
        ("extract_json(\"$.a[1]['b c']\", '{\"a\":[0,{\"b c\":7}]}', typeof(long))", 7),
        ("extract_json('$.x', '{}')", ""),
        ("tostring(parse_path('/etc/ssh/sshd_config').Extension)", ""),
        ("tostring(parse_path('/etc/ssh/sshd_config').DirectoryName)", "ssh"),
        # CommandLineToArgvW's own examples (learn.microsoft.com, "Parsing C command-line arguments")
        (r"parse_command_line('echo \"hello world!\"', 'windows')", '["echo","hello world!"]'),
        (r"""parse_command_line(@'p "abc" d e', 'windows')""", '["p","abc","d","e"]'),
        (r"""parse_command_line(@'p a\\b d"e f"g h', 'windows')""", r'["p","a\\\\b","de fg","h"]'),
        (r"""parse_command_line(@'p a\\\"b c d', 'windows')""", r'["p","a\\\"b","c","d"]'),
        (r"""parse_command_line(@'p a\\\\"b c" d e', 'windows')""", r'["p","a\\\\b c","d","e"]'),
        (r"""parse_command_line(@'"C:\Program Files\x.exe" -k', 'windows')""", r'["C:\\Program Files\\x.exe","-k"]'),
        # choice
        ("case(bool(null), 'a', 'b')", "b"),
        ("iff(true, 1, 2.5)", 1.0),
        ("coalesce('', 'b')", "b"),
        ("max_of('a', 'b')", "b"),
        ("min_of(datetime(null), datetime(2024-01-01)) == datetime(2024-01-01)", True),
        ("column_ifexists('nothing', 5)", 5),
        ("assert(1 < 2, 'never')", True),
        ("not(bool(null) and true)", True),
        ("gettype(iff(true, 'a', 1))", "string"),
        ("tostring(iff(false, 'a', 1))", "1"),
        # what is alike without being told to
        ("true == 1 and 0 != true and true < 2", True),
        ("dynamic(9) < dynamic(10)", True),
        ("sqrt(decimal(4)) + pow(decimal(2), 2)", 6),
        ("int(2) in ((datatable(x: long) [2])) and 2 in ((datatable(x: real) [2.0]))", True),
        ("2.5 in ((datatable(x: int) [2]))", False),
        ("toscalar(datatable(a: int) [2] | join (datatable(b: long) [2]) on $left.a == $right.b | count)", 1),
        ("toscalar(print a = 1, b = 'x' | project tostring(pack_array(*)))", '[1,"x"]'),
    ],
)  # fmt: skip
def test_value(engine: Engine, expression: str, expected: object) -> None:
    assert _value(engine, expression) == expected


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("estimate_data_size('é')", KqlError),
        ("case(true, 1)", KqlError),
        ("hash_many('a', 'b')", KqlUnsupported),
        ("hash(dynamic([1]), 1, 1)", KqlError),
        ("extract_json('$..a', '{}')", KqlUnsupported),
        ("parse_xml('<a/>')", KqlUnsupported),
    ],
)
def test_refused(expression: str, error: type[KqlError]) -> None:
    with pytest.raises(error):
        compile_query(f"print v = {expression}", Schema({}))


def test_an_assertion_that_fails_says_so() -> None:
    with pytest.raises(KqlError, match="assert\\(\\) has failed with message: 'too short'"):
        compile_query("print v = assert(false, 'too short')", Schema({}))


def test_guids_are_new_for_every_row_and_place(engine: Engine) -> None:
    rows = engine.rows(
        compile_query(
            "let g = toscalar(new_guid()); range x from 1 to 3 step 1 | project g, a = new_guid(), b = new_guid()",
            Schema({}),
        )
    )
    assert len({row[0] for row in rows}) == 1
    assert len({guid for row in rows for guid in row}) == 7
