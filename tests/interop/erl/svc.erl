%% The services that a BEAM node offers in these tests; tests/interop/services.py has the same.
-module(svc).
-export([add/2, big/1, box/1, echo/1, exit/1, later/2, never/0, node/0, note/1, notes/0,
         received/1, send/2, start/2, throw/1, error/1, value_error/0, zero/0, prio_alias/1]).

zero() -> 0.
echo(X) -> X.
add(A, B) -> A + B.
big(Size) -> binary:copy(<<"x">>, Size).
node() -> erlang:node().
error(Reason) -> erlang:error(Reason).
exit(Reason) -> erlang:exit(Reason).
throw(Term) -> erlang:throw(Term).
value_error() -> erlang:error({python_error, 'ValueError', <<"no such thing">>}).
never() -> receive after infinity -> ok end.
later(Millis, Value) -> timer:sleep(Millis), Value.

%% What was noted, by calls that have no answer.
note(Term) -> svc_notes ! {note, Term}, ok.
notes() ->
    svc_notes ! {take, self()},
    receive {notes, Notes} -> Notes end.

%% Processes for one operation each.
start(server, Name) ->
    {ok, Pid} = gen_server:start({local, Name}, svc_server, [], []),
    Pid;
start(statem, Name) ->
    {ok, Pid} = gen_statem:start({local, Name}, svc_statem, [], []),
    Pid;
start(events, Name) ->
    {ok, Pid} = gen_event:start({local, Name}),
    ok = gen_event:add_handler(Pid, svc_log, []),
    Pid;
start(agent, Name) ->
    {ok, Pid} = 'Elixir.Agent':start(erlang, '+', [1, 0], [{name, Name}]),
    Pid;
start(tasks, Name) ->
    {ok, Pid} = 'Elixir.Task.Supervisor':start_link([{name, Name}]),
    unlink(Pid),
    Pid;
start(notes, Name) ->
    Pid = spawn(fun() -> notes_loop([]) end),
    register(Name, Pid),
    Pid.

notes_loop(Notes) ->
    receive
        {note, Note} -> notes_loop([Note | Notes]);
        {take, From} -> From ! {notes, lists:reverse(Notes)}, notes_loop([])
    end.

%% A process that traps exits and keeps what it gets.
box(Name) ->
    Caller = self(),
    Pid = spawn(fun() ->
                        process_flag(trap_exit, true),
                        register(Name, self()),
                        Caller ! {self(), ready},
                        box_loop([])
                end),
    receive {Pid, ready} -> Pid end.

box_loop(Messages) ->
    receive
        {'$take', From} -> From ! {'$taken', lists:reverse(Messages)}, box_loop([]);
        {'$send', To, Message} -> To ! Message, box_loop(Messages);
        {'$alias', From} -> From ! {'$alias', prio_alias()}, box_loop(Messages);
        {From, {'$server', Message}} -> From ! {wrapped, erlang:node(), Message}, box_loop(Messages);
        Message -> box_loop([Message | Messages])
    end.

prio_alias() ->
    try erlang:alias([priority]) catch error:badarg -> erlang:alias() end.

received(Name) ->
    Name ! {'$take', self()},
    receive {'$taken', Messages} -> Messages end.

send(To, Message) -> To ! Message, ok.

prio_alias(Name) ->
    Name ! {'$alias', self()},
    receive {'$alias', Alias} -> Alias end.
