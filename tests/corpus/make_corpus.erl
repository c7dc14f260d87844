%% Write the corpus of valid terms: what a real BEAM node writes, one file a term.
%%
%%   erlc make_corpus.erl
%%   erl +pc unicode -noshell -name corpus@localhost -dist_listen false -start_epmd false \
%%       -eval 'make_corpus:main(["valid/otp27"])'
%%
%% A second folder is one of another release: what is there byte for byte is not written again, so
%% that valid/otp29 holds what is new or different.
%%
%% NAME.etf is the term in the External Term Format. Beside it stands what it means, told without
%% term_to_binary: in NAME.txt as io:format("~0ktp") prints it; or, where the text of a term does
%% not say all of it, in NAME.shape: the same with tuples in the place of identifiers, funs and
%% records, as shape/1 below makes them.
%%
%% The names tell what is done with a file: `old_` are tags and ways of writing that no node uses
%% any more, or never did, and that have to be understood (each was read back by this node);
%% `packed_` are compressed; `local_` are of the node's own format and have no meaning elsewhere.
%% All others have to be written by an encoder byte for byte as they are here.
-module(make_corpus).
-export([main/1, add/1]).

main([Dir | Others]) ->
    ok = filelib:ensure_path(Dir),
    put(others, Others),
    [write(Dir, Name, term_to_binary(Term), Term) || {Name, Term} <- terms() ++ records()],
    [write(Dir, "packed_" ++ Name, term_to_binary(Term, Options), Term)
     || {Name, Options, Term} <- packed()],
    [write(Dir, "old_" ++ Name, term_to_binary(Term, [{minor_version, Version}]), Term)
     || {Name, Version, Term} <- minor_versions()],
    [write(Dir, "old_" ++ Name, Bytes, binary_to_term(Bytes)) || {Name, Bytes} <- by_hand()],
    [write_shape(Dir, "old_" ++ Name, Bytes, Shape) || {Name, Bytes, Shape} <- unreadable()],
    Local = term_to_binary({ok, self(), [make_ref()]}, [local]),
    write_shape(Dir, "local_tuple", Local, {'$local', byte_size(Local) - 2}),
    halt().

terms() ->
    [%% Numbers.
     {"int_0", 0}, {"int_1", 1}, {"int_255", 255}, {"int_256", 256}, {"int_minus_1", -1},
     {"int_max_32", 16#7FFFFFFF}, {"int_min_32", -16#80000000},
     {"int_big_32", 16#80000000}, {"int_big_minus_32", -16#80000001},
     {"int_60_bits", 1 bsl 59}, {"int_64_bits", 16#FFFFFFFFFFFFFFFF},
     {"int_65_bits", 16#10000000000000000}, {"int_minus_64_bits", -16#FFFFFFFFFFFFFFFF},
     {"int_255_bytes", (1 bsl 2040) - 1}, {"int_256_bytes", 1 bsl 2040},
     {"int_minus_256_bytes", -(1 bsl 2047)}, {"int_2_kib", (1 bsl 16384) - 12345},
     {"float_0", 0.0}, {"float_minus_0", -0.0}, {"float_1", 1.0}, {"float_pi", 3.141592653589793},
     {"float_max", 1.7976931348623157e308}, {"float_min", 5.0e-324}, {"float_minus", -2.5e-7},
     {"float_2_53", 9007199254740992.0}, {"float_1000", 1000.0}, {"float_tenth", 0.1},
     %% Atoms.
     {"atom_ok", ok}, {"atom_true", true}, {"atom_false", false}, {"atom_nil", nil},
     {"atom_undefined", undefined}, {"atom_empty", ''}, {"atom_quoted", 'hello "big" world'},
     {"atom_escapes", 'a\n\t\e\\\'b'}, {"atom_reserved", 'receive'}, {"atom_module", 'Elixir.Foo'},
     {"atom_latin1", list_to_atom([16#E9, 16#DF])}, {"atom_cyrillic", list_to_atom([1078, 1091])},
     {"atom_emoji", list_to_atom([16#1F600])},
     {"atom_255", list_to_atom(lists:duplicate(255, $a))},
     {"atom_255_wide", list_to_atom(lists:duplicate(255, 16#E9))},
     {"atom_255_widest", list_to_atom(lists:duplicate(255, 16#1F600))},
     {"atom_127_wide", list_to_atom(lists:duplicate(127, 16#E9))},
     {"atom_128_wide", list_to_atom(lists:duplicate(128, 16#E9))},
     %% Tuples and lists.
     {"tuple_empty", {}}, {"tuple_1", {a}}, {"tuple_nested", {{{1}, {}}, {b, {c}}}},
     {"tuple_255", list_to_tuple(lists:seq(1, 255))},
     {"tuple_256", list_to_tuple(lists:seq(1, 256))},
     {"tuple_atoms", {true, false, nil, undefined, ok}},
     {"list_empty", []}, {"list_of_empty", [[], [[]], {}]},
     {"list_string", "hello"}, {"list_escapes", "a\n\t\e\"\\b"}, {"list_latin1", [$a, 16#E9]},
     {"list_bytes", [0, 1, 2, 255]}, {"list_one_byte", [7]},
     {"list_256", [1, 256]}, {"list_minus", [-1, 0]}, {"list_float", [1.0]},
     {"list_1000", lists:seq(1, 1000)}, {"list_floats", [X / 4 || X <- lists:seq(-300, 300)]},
     {"list_wide", [X * 7919 - 2000000 || X <- lists:seq(0, 600)]},
     {"list_mixed_numbers", [0, 300, 1.5, 1 bsl 40, -1] ++ lists:seq(200, 600) ++ [a]},
     {"list_65535", lists:duplicate(65535, $x)},
     {"list_mixed", [1, a, "s", <<"b">>, 1.5, {t}, #{}]},
     {"list_bigs", [1 bsl N || N <- lists:seq(28, 100)]},
     {"list_nested", lists:foldl(fun(N, Acc) -> [N, Acc] end, [], lists:seq(1, 100))},
     {"tuple_deep", lists:foldl(fun(_, Acc) -> {Acc} end, deep, lists:seq(1, 400))},
     {"improper_pair", [a | b]}, {"improper_3", [1, 2 | 3]}, {"improper_binary", [x | <<"tail">>]},
     {"improper_iolist", [<<"a">>, [<<"b">> | <<"c">>] | <<"d">>]},
     {"improper_map_tail", [1 | #{a => 1}]},
     {"proplist", [{name, "x"}, verbose, {size, 3}]},
     {"list_of_tuples", [{item, N, <<"binary value">>, ok} || N <- lists:seq(1, 200)]},
     %% Binaries.
     {"binary_empty", <<>>}, {"binary_ascii", <<"hello">>}, {"binary_escapes", <<"a\n\"\\">>},
     {"binary_utf8", <<"h\x{e9}llo \x{436}\x{443}\x{43a} \x{1F600}"/utf8>>},
     {"binary_latin1", <<"h\x{e9}llo">>}, {"binary_bytes", list_to_binary(lists:seq(0, 255))},
     {"binary_4_kib", binary:copy(<<0, 255, 1, 128>>, 1024)},
     {"binary_80_kib", binary:copy(<<"0123456789abcdef">>, 5120)},
     {"bits_1", <<1:1>>}, {"bits_3", <<5:3>>}, {"bits_7", <<127:7>>}, {"bits_9", <<"a", 1:1>>},
     {"bits_12", <<16#ABC:12>>}, {"bits_2_kib", <<(binary:copy(<<"x">>, 2048))/binary, 2:2>>},
     %% Maps.
     {"map_empty", #{}}, {"map_atoms", #{a => 1, b => 2}}, {"map_binaries", #{<<"k">> => <<"v">>}},
     {"map_32", maps:from_list([{N, N * N} || N <- lists:seq(1, 32)])},
     {"map_33", maps:from_list([{N, N * N} || N <- lists:seq(1, 33)])},
     {"map_500", maps:from_list([{<<N:16>>, #{id => N}} || N <- lists:seq(1, 500)])},
     {"map_nested", #{a => #{b => #{c => [#{}, {#{}}]}}}},
     {"map_int_float", #{1 => int, 1.0 => float}},
     {"map_int_float_more", #{1 => a, 1.0 => b, 2 => c, 2.5 => d, x => [#{0 => 1, 0.0 => 2}]}},
     {"map_zeros", #{0.0 => plus, -0.0 => minus}}, {"map_true_1", #{true => 1, 1 => true}},
     {"map_false_0", #{false => 1, 0 => 2, 0.0 => 3}},
     {"map_tuples_merge", #{{1, a} => 1, {1.0, a} => 2}},
     {"map_lists_merge", #{[1] => 1, [1.0] => 2, {[1]} => 3, {[1.0]} => 4}},
     {"map_maps_merge", #{#{1 => 1} => 1, #{1 => 1.0} => 2, #{1.0 => 1} => 3}},
     {"map_list_key", #{[a, [b]] => 1, "string" => 2, [] => 3}},
     {"map_map_key", #{#{a => [1]} => 1, #{} => 2, #{[x] => #{}} => 3}},
     {"map_improper_key", #{[a | b] => 1, [[1] | 2] => 2}},
     {"map_tuple_key", #{{[1], #{}} => 1, {} => 2, {{}, <<1:3>>} => 3}},
     {"map_deep_key", #{lists:foldl(fun(_, Acc) -> [Acc] end, x, lists:seq(1, 200)) => 1}},
     {"map_deep_keys", lists:foldl(fun(_, Acc) -> #{Acc => [Acc]} end, x, lists:seq(1, 8))},
     {"map_same_text", #{ok => atom, <<"ok">> => binary, "ok" => list}},
     {"map_all_kinds", #{1 => a, 2.5 => b, a => c, {} => d, #{} => e, [] => f, <<>> => g,
                         <<1:1>> => h, fun lists:map/2 => i}},
     {"map_pid_key", #{self() => 1, make_ref() => 2}},
     {"map_fun_key", #{add(1) => 1, add([1, 2]) => 2, add(1.0) => 3}},
     {"map_struct", #{'__struct__' => 'Elixir.User', name => <<"Ann">>, tags => [a, nil]}},
     %% Identifiers and funs.
     {"pid", self()}, {"pid_init", whereis(init)}, {"pid_list", [self(), whereis(init), self()]},
     {"reference", make_ref()}, {"reference_alias", alias()}, {"port", hd(erlang:ports())},
     {"gen_call", {'$gen_call', {self(), [alias | alias([reply])]}, get}},
     {"down", {'DOWN', make_ref(), process, self(), {shutdown, noproc}}},
     {"identifiers", {self(), make_ref(), hd(erlang:ports()), [self() | make_ref()]}},
     {"export", fun lists:map/2}, {"export_quoted", fun 'Odd Module':'a b'/255},
     {"export_true", fun true:nil/0}, {"export_wide", {fun erlang:'+'/2, [fun m:f/0]}},
     {"fun_plain", fun(X) -> X + 1 end}, {"fun_closure", add(40)},
     {"fun_environment", add({self(), "string", #{[1] => <<"x">>}, 1.5, 1 bsl 70})},
     {"fun_in_fun", add(add(add([])))}, {"fun_in_term", {ok, [add(1), #{f => add(2)}]}},
     {"fun_evaluated", evaluated("fun(A, B) -> {A, B, 42} end.")},
     {"fun_large", add(binary:copy(<<"large">>, 2000))},
     {"exception", exception()}].

records() ->
    case code:ensure_loaded(records) of
        {module, records} ->
            R = fun(Module, Name, Fields, Exported) ->
                    apply(records, create, [Module, Name, Fields, #{is_exported => Exported}])
                end,
            [{"record", R(nr, point, [{x, 42}, {y, <<"b">>}], true)},
             {"record_private", R(nr, secret, [{k, 1}], false)},
             {"record_empty", R(nr, none, [], true)},
             {"record_names", R('Odd module', true, [{nil, false}, {'a b', [1, 2]}], true)},
             {"record_nested", [R(a, b, [{c, R(d, e, [{f, #{[1] => 2}}], true)}], true)]},
             {"record_key", #{R(a, b, [{c, [1]}], true) => 1, R(a, b, [{c, [1.0]}], true) => 2}},
             {"reference_5_words", apply(erlang, alias, [[priority]])}];
        _ ->
            []
    end.

packed() ->
    Atoms = lists:duplicate(2000, abc),
    [{"atoms", [compressed], Atoms}, {"atoms_9", [{compressed, 9}], Atoms},
     {"atoms_1", [{compressed, 1}], Atoms}, {"zeros", [compressed], binary:copy(<<0>>, 16384)},
     {"too_small", [compressed], {a, b}},
     {"map", [{compressed, 6}], maps:from_list([{N, {N, N}} || N <- lists:seq(1, 300)])}].

minor_versions() ->
    Floats = [0.0, -0.0, 1.5, -2.0e-300, 1.7976931348623157e308, 3.141592653589793],
    Atoms = {ok, list_to_atom([16#E9]), true, 'Odd one', list_to_atom([1078])},
    [{"floats_version_0", 0, Floats}, {"atoms_version_0", 0, Atoms},
     {"atoms_version_1", 1, Atoms}, {"pid_version_1", 1, {self(), make_ref()}}].

%% Written by hand as older nodes did, or as nobody does: this node has to understand it.
by_hand() ->
    Atom = <<100, 2:16, "ok">>,
    [{"atom_ext", <<131, Atom/binary>>}, {"atom_ext_latin1", <<131, 100, 2:16, 16#E9, $a>>},
     {"atom_ext_empty", <<131, 100, 0:16>>}, {"atom_ext_true", <<131, 100, 4:16, "true">>},
     {"small_atom_ext", <<131, 115, 2, "ok">>}, {"small_atom_ext_latin1", <<131, 115, 1, 16#FF>>},
     {"small_atom_ext_nil", <<131, 115, 3, "nil">>},
     {"atom_utf8_short", <<131, 118, 2:16, 16#C3, 16#A9>>},
     {"int_wide", <<131, 98, 5:32>>}, {"big_small", <<131, 110, 1, 0, 9>>},
     {"big_leading_zeros", <<131, 110, 12, 1, 1, 0:88>>}, {"big_empty", <<131, 110, 0, 0>>},
     {"large_big_small", <<131, 111, 1:32, 0, 9>>},
     {"large_tuple_small", <<131, 105, 2:32, 97, 1, 97, 2>>}, {"large_tuple_0", <<131, 105, 0:32>>},
     {"string_empty", <<131, 107, 0:16>>}, {"list_as_list", <<131, 108, 2:32, 97, 1, 97, 2, 106>>},
     {"list_list_tail", <<131, 108, 1:32, 97, 1, 108, 1:32, 97, 2, 106>>},
     {"list_string_tail", <<131, 108, 1:32, 98, 500:32, 107, 2:16, 1, 2>>},
     {"list_improper_tail", <<131, 108, 1:32, 97, 1, 108, 1:32, 97, 2, 97, 3>>},
     {"list_long_tail", <<131, (binary:copy(<<108, 1:32, 97, 1>>, 2000))/binary, 106>>},
     {"bits_8", <<131, 77, 2:32, 8, "ab">>},
     {"float_ext", <<131, 99, "1.50000000000000000000e+00", 0:40>>},
     {"new_reference_ext", <<131, 114, 2:16, Atom/binary, 3, 7:32, 8:32>>},
     {"new_port_ext", <<131, 89, Atom/binary, 77:32, 12:32>>},
     {"new_pid_ext_atom_ext", <<131, 88, Atom/binary, 5:32, 6:32, 12:32>>},
     {"newer_reference_ext_1", <<131, 90, 1:16, Atom/binary, 12:32, 7:32>>},
     {"pid_ext", <<131, 103, Atom/binary, 5:32, 6:32, 2>>},
     {"port_ext", <<131, 102, Atom/binary, 77:32, 3>>},
     {"reference_ext", <<131, 101, Atom/binary, 99:32, 1>>},
     {"v4_port_ext", <<131, 120, Atom/binary, (1 bsl 40):64, 12:32>>},
     {"export_ext", <<131, 113, 100, 1:16, "m", 115, 1, "f", 97, 3>>}].

%% Of a tag that today's nodes refuse: what it is, is told by hand, too.
unreadable() ->
    Pid = <<103, 100, 2:16, "ok", 5:32, 6:32, 2>>,
    Fun = <<131, 117, 2:32, Pid/binary, 100, 1:16, "m", 97, 3, 98, 99999:32, 97, 1, 106>>,
    [{"fun_ext", Fun, {'$fun', m, nil, 0, <<>>, 3, 99999, {'$pid', ok, 5, 6, 2}, [1, []]}}].

add(N) -> fun(X) -> {N, X} end.

evaluated(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Forms} = erl_parse:parse_exprs(Tokens),
    {value, Fun, _} = erl_eval:exprs(Forms, [{'Y', 1}]),
    Fun.

exception() ->
    try lists:map(not_a_fun, [1]) catch Class:Reason:Stack -> {Class, Reason, Stack} end.

%% --- what a term means ---------------------------------------------------------------------------

write(Dir, Name, Bytes, Term) ->
    case shape(Term) of
        Term -> write_files(Dir, Name, Bytes, ".txt", Term);
        Shape -> write_files(Dir, Name, Bytes, ".shape", Shape)
    end.

write_shape(Dir, Name, Bytes, Shape) -> write_files(Dir, Name, Bytes, ".shape", Shape).

write_files(Dir, Name, Bytes, Extension, Term) ->
    Text = unicode:characters_to_binary(io_lib:format("~0ktp\n", [Term])),
    Files = [{Name ++ ".etf", Bytes}, {Name ++ Extension, Text}],
    Known = fun(Other) -> lists:all(fun({File, Content}) ->
                file:read_file(filename:join(Other, File)) =:= {ok, Content} end, Files) end,
    lists:any(Known, get(others)) orelse
        [ok = file:write_file(filename:join(Dir, File), Content) || {File, Content} <- Files].

shape(Pid) when is_pid(Pid) ->
    [_, Id, Serial] = numbers(pid_to_list(Pid)),
    {'$pid', node(Pid), Id, Serial, creation(Pid)};
shape(Port) when is_port(Port) ->
    [_, Id] = numbers(erlang:port_to_list(Port)),
    {'$port', node(Port), Id, creation(Port)};
shape(Ref) when is_reference(Ref) ->
    [_ | Ids] = numbers(ref_to_list(Ref)),
    {'$ref', node(Ref), creation(Ref), lists:reverse(Ids)};
shape(Fun) when is_function(Fun) ->
    I = fun(Item) -> {Item, Value} = erlang:fun_info(Fun, Item), Value end,
    case I(type) of
        external -> Fun;
        local -> {'$fun', I(module), I(arity), I(new_index), I(new_uniq), I(index), I(uniq),
                  shape(I(pid)), [shape(Value) || Value <- I(env)]}
    end;
shape(Tuple) when is_tuple(Tuple) -> list_to_tuple(shape(tuple_to_list(Tuple)));
shape(Map) when is_map(Map) ->
    maps:from_list([{shape(K), shape(V)} || {K, V} <- maps:to_list(Map)]);
shape([Head | Tail]) -> [shape(Head) | shape(Tail)];
shape(Term) when is_atom(Term); is_number(Term); is_bitstring(Term); Term =:= [] -> Term;
shape(Record) ->
    [Module, Name, Exported, Names] =
        [apply(records, F, [Record]) || F <- [get_module, get_name, is_exported, get_field_names]],
    {'$record', Module, Name, Exported,
     [{Field, shape(apply(records, get, [Field, Record]))} || Field <- Names]}.

numbers(Text) -> [list_to_integer(N) || N <- string:lexemes(Text, "<>#.PortRef")].

%% Of another node's identifiers the creation can only be read where by_hand/0 wrote it.
creation(Id) when node(Id) =:= node() -> erlang:system_info(creation);
creation(Id) ->
    Bytes = term_to_binary(Id),
    case Id of
        Ref when is_reference(Ref) ->
            Words = length(numbers(ref_to_list(Ref))) - 1,
            binary:decode_unsigned(binary:part(Bytes, byte_size(Bytes) - 4 * (Words + 1), 4));
        _ -> binary:decode_unsigned(binary:part(Bytes, byte_size(Bytes) - 4, 4))
    end.
