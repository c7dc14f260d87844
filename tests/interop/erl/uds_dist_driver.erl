%% Runs Erlang and Elixir code in a test node, on request from tests/interop/beam.py.
%%
%% The requests come through a pipe pair that the node inherits (-uds_dist_driver fds IN OUT), so
%% neither the distribution under test nor anything printed can get in their way. A frame has a
%% 4-byte length; a field is <<Length:32, Bytes>>:
%%
%%   request  <<Id:32, Kind, Keep, Evaluator:field, Code:field, Extra:field, (Name:field, Value:field)*>>
%%   answer   <<Id:32, 0, Result:field>> or <<Id:32, 1, Class:field, Reason:field, Stack:field>>
%%
%% Each evaluator is one process that lives on between requests, with its bindings and mailbox.
%% It is handed one request at a time, so a `receive` in a test never meets the next request.
-module(uds_dist_driver).
-export([start/0]).

-define(TEXT, 0).       % the result printed with ~0tp
-define(EXTERNAL, 1).   % the result as term_to_binary
-define(ELIXIR, 2).     % Elixir code, the result inspected
-define(WAIT, 3).       % until the value equals that of Expected; Extra = <<Millis:32, Expected>>
-define(KILL, 4).       % kill this evaluator; the next request gets a new one

start() ->
    {ok, [["fds", In, Out]]} = init:get_argument(uds_dist_driver),
    spawn(fun() ->
                  group_leader(whereis(user), self()),
                  start_elixir(),
                  Port = open_port({fd, list_to_integer(In), list_to_integer(Out)},
                                   [{packet, 4}, binary, eof]),
                  Port ! {self(), {command, answer(0, [<<"ready">>])}},
                  loop(Port, #{})
          end),
    ok.

start_elixir() ->
    case code:which('Elixir.Code') of
        non_existing -> ok;
        _ -> {ok, _} = application:ensure_all_started(elixir)
    end.

%% Evaluators = #{Name => {Pid, Monitor, idle | Id, [Request]}}
loop(Port, Evaluators) ->
    receive
        {Port, {data, <<Id:32, Kind, Keep, Rest/binary>>}} ->
            [Name | Fields] = fields(Rest),
            {Pid, Monitor, Current, Queue} = Evaluator =
                case Evaluators of
                    #{Name := Found} -> Found;
                    #{} -> new_evaluator(Name)
                end,
            case Kind of
                ?KILL ->
                    exit(Pid, kill),
                    loop(Port, Evaluators#{Name => Evaluator});
                _ ->
                    Request = {Id, Kind, Keep, Fields},
                    loop(Port, Evaluators#{Name => next({Pid, Monitor, Current, Queue ++ [Request]})})
            end;
        {done, Name, Id, Answer} ->
            Port ! {self(), {command, Answer}},
            #{Name := {Pid, Monitor, Id, Queue}} = Evaluators,
            loop(Port, Evaluators#{Name := next({Pid, Monitor, idle, Queue})});
        {'DOWN', Monitor, process, Pid, Reason} ->
            [{Name, {_, _, Current, Queue}}] =
                [Entry || {_, {P, M, _, _}} = Entry <- maps:to_list(Evaluators), P =:= Pid, M =:= Monitor],
            Current =:= idle orelse
                (Port ! {self(), {command, failure(Current, <<"exit">>, text(Reason), <<>>)}}),
            loop(Port, Evaluators#{Name := next(setelement(4, new_evaluator(Name), Queue))});
        {Port, eof} ->
            erlang:halt(0, [{flush, false}]); % the test process is gone
        _ ->
            loop(Port, Evaluators)
    end.

new_evaluator(Name) ->
    Driver = self(),
    {Pid, Monitor} =
        spawn_monitor(fun() -> evaluator(Driver, Name, erl_eval:new_bindings(), []) end),
    {Pid, Monitor, idle, []}.

next({Pid, Monitor, idle, [{Id, _, _, _} = Request | Queue]}) ->
    Pid ! {?MODULE, Request},
    {Pid, Monitor, Id, Queue};
next(Evaluator) -> Evaluator.

evaluator(Driver, Name, Erlang, Elixir) ->
    receive
        {?MODULE, {Id, Kind, Keep, [Code, Extra | Inputs]}} -> ok
    end,
    {Answer, NewErlang, NewElixir} =
        try evaluate(Kind, Code, Extra, pairs(Inputs), Erlang, Elixir) of
            {Result, E, X} when Keep =:= 1 -> {answer(Id, [Result]), E, X};
            {Result, _, _} -> {answer(Id, [Result]), Erlang, Elixir}
        catch
            Class:Reason:Stack ->
                {failure(Id, atom_to_binary(Class), reason(Kind, Class, Reason, Stack),
                         text(Stack)), Erlang, Elixir}
        end,
    Driver ! {done, Name, Id, Answer},
    evaluator(Driver, Name, NewErlang, NewElixir).

evaluate(?ELIXIR, Code, _, Inputs, Erlang, Elixir) ->
    Bound = lists:foldl(fun({Name, Value}, Acc) ->
                                Variable = binary_to_atom(Name),
                                lists:keystore(Variable, 1, Acc, {Variable, Value})
                        end, Elixir, Inputs),
    {Value, NewElixir} = 'Elixir.Code':eval_string(Code, Bound, []),
    Inspected = 'Elixir.Kernel':inspect(Value, [{limit, infinity}, {printable_limit, infinity}]),
    {Inspected, Erlang, NewElixir};
evaluate(Kind, Code, Extra, Inputs, Erlang, Elixir) ->
    Bound = lists:foldl(fun({Name, Value}, Acc) ->
                                erl_eval:add_binding(binary_to_atom(Name), Value, Acc)
                        end, Erlang, Inputs),
    case Kind of
        ?WAIT ->
            <<Millis:32, Expected/binary>> = Extra,
            {value, Wanted, _} = erl_eval:exprs(parse(Expected), Bound),
            {text(wait(parse(Code), Wanted, Bound, erlang:monotonic_time(millisecond) + Millis)),
             Erlang, Elixir};
        _ ->
            {value, Value, NewErlang} = erl_eval:exprs(parse(Code), Bound),
            Result = case Kind of
                         ?TEXT -> text(Value);
                         ?EXTERNAL -> term_to_binary(Value)
                     end,
            {Result, NewErlang, Elixir}
    end.

wait(Exprs, Wanted, Bound, Deadline) ->
    {value, Value, _} = erl_eval:exprs(Exprs, Bound),
    Left = Deadline - erlang:monotonic_time(millisecond),
    if
        Value =:= Wanted -> Value;
        Left =< 0 -> error({still, Value, not_yet, Wanted});
        true -> receive after min(5, Left) -> wait(Exprs, Wanted, Bound, Deadline) end
    end.

parse(Code) ->
    case erl_scan:string(unicode:characters_to_list(Code)) of
        {ok, Tokens, _} ->
            case erl_parse:parse_exprs(Tokens) of
                {ok, Exprs} -> Exprs;
                {error, {_, Module, Info}} -> error({syntax, lists:flatten(Module:format_error(Info))})
            end;
        {error, {_, Module, Info}, _} -> error({syntax, lists:flatten(Module:format_error(Info))})
    end.

reason(?ELIXIR, Class, Reason, Stack) -> 'Elixir.Exception':format_banner(Class, Reason, Stack);
reason(_, _, Reason, _) -> text(Reason).

text(Term) -> unicode:characters_to_binary(io_lib:format("~0tp", [Term])).

answer(Id, Fields) -> [<<Id:32, 0>> | [field(Field) || Field <- Fields]].

failure(Id, Class, Reason, Stack) ->
    [<<Id:32, 1>>, field(Class), field(Reason), field(Stack)].

field(Bytes) -> [<<(byte_size(Bytes)):32>>, Bytes].

fields(<<Length:32, Bytes:Length/binary, Rest/binary>>) -> [Bytes | fields(Rest)];
fields(<<>>) -> [].

pairs([Name, Value | Rest]) -> [{Name, Value} | pairs(Rest)];
pairs([]) -> [].
