"""The Erlang code of a process that answers, and of what calls it."""

from __future__ import annotations

MODULE = """
-module(conn).
-export([echo/1, echo_loop/0, relay/2, count/1]).

%% A registered process that sends {From, Term} back to From.
echo(Name) ->
    Pid = spawn(fun echo_loop/0), true = register(Name, Pid), Pid.
echo_loop() ->
    receive
        {From, Term} -> From ! {self(), Term}, echo_loop();
        {'$gen_call', {_, [alias | Alias] = Tag}, {same, Bytes, Term}} ->
            Alias ! {Tag, binary_to_term(Bytes) =:= Term}, echo_loop();
        {'$gen_call', {_, [alias | Alias] = Tag}, Term} -> Alias ! {Tag, Term}, echo_loop()
    end.

%% Calls a gen server N times at once, each from a process of its own.
relay(Server, Requests) ->
    Parent = self(),
    Refs = [begin
                Ref = make_ref(),
                spawn_link(fun() -> Parent ! {Ref, gen_server:call(Server, R, 20000)} end),
                {Ref, R}
            end || R <- Requests],
    lists:all(fun({Ref, R}) -> receive {Ref, Answer} -> Answer =:= R end end, Refs).

%% How many processes, monitors and aliases there are around a process.
count(Pid) ->
    {monitors, M} = process_info(Pid, monitors),
    {monitored_by, B} = process_info(Pid, monitored_by),
    {links, L} = process_info(Pid, links),
    {length(M), length(B), length(L)}.
"""
