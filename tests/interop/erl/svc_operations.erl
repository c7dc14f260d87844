%% Everything that a BEAM asks of a process or a function of another node, one operation each.
%%
%% run(Node) runs them all from this node at Node and returns [{Name, Result}], where Result is
%% what Erlang saw, without what may differ: identifiers, the node's name, and stacks.
-module(svc_operations).
-export([run/1, run/2]).

-define(SHORT, 100).
-define(LONG, 5000).

run(Node) -> [{Name, run(Node, Operation)} || {Name, Operation} <- operations()].

%% Each operation runs in its own process; what it leaves in its mailbox is part of its result.
run(Node, Operation) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({result, outcome(Node, Operation)}) end),
    receive
        {'DOWN', Ref, process, Pid, {result, Result}} -> Result;
        {'DOWN', Ref, process, Pid, Reason} -> {died, normal(Reason, Node)}
    after 15000 ->
            exit(Pid, kill),
            receive {'DOWN', Ref, process, Pid, _} -> hung end
    end.

outcome(Node, Operation) ->
    Result = try Operation(Node)
             catch
                 error:Reason -> {raised, error, Reason};
                 Class:Reason -> {raised, Class, Reason}
             end,
    case {normal(Result, Node), normal(flush(), Node)} of
        {Normal, []} -> Normal;
        {Normal, Left} -> {Normal, {left_in_mailbox, Left}}
    end.

flush() -> receive Message -> [Message | flush()] after 0 -> [] end.

normal(Node, Node) -> '$node';
normal(Term, Node) when is_pid(Term) ->
    case node(Term) of
        Node -> '$pid_there';
        _ -> '$pid_here'
    end;
normal(Term, _Node) when is_reference(Term) -> '$reference';
normal(Term, _Node) when is_function(Term) -> '$fun';
normal(Term, _Node) when is_port(Term) -> '$port';
normal([{M, F, A, Place} | _], _Node)
  when is_atom(M), is_atom(F), is_list(Place), is_integer(A) orelse is_list(A) -> '$stack';
normal([{F, A, Place} | _], _Node) when is_function(F), is_list(A), is_list(Place) -> '$stack';
normal([Head | Tail], Node) -> [normal(Head, Node) | normal(Tail, Node)];
normal(Term, Node) when is_tuple(Term) ->
    list_to_tuple([normal(Element, Node) || Element <- tuple_to_list(Term)]);
normal(Term, Node) when is_map(Term) ->
    maps:from_list([{normal(K, Node), normal(V, Node)} || {K, V} <- maps:to_list(Term)]);
normal(Term, _Node) -> Term.

%% A server with its own name, known here by {Name, Node}.
new(Node, Kind) ->
    Name = list_to_atom("svc_" ++ integer_to_list(erlang:unique_integer([positive]))),
    Pid = rpc:call(Node, svc, start, [Kind, Name]),
    true = is_pid(Pid),
    {{Name, Node}, Pid}.

server(Node) -> element(1, new(Node, server)).

box(Node) ->
    Name = list_to_atom("box_" ++ integer_to_list(erlang:unique_integer([positive]))),
    Pid = rpc:call(Node, svc, box, [Name]),
    true = is_pid(Pid),
    {Name, Pid}.

dead_pid(Node) ->
    {_Name, Pid} = new(Node, server),
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Ref, process, Pid, _} -> Pid end.

%% The name is left out of what a caller sees of an exit.
caught(Fun) ->
    try Fun() of
        Value -> {value, Value}
    catch
        exit:{Reason, {Module, Function, [_Server | Arguments]}} ->
            {exit, Reason, Module, Function, Arguments};
        Class:Reason -> {Class, Reason}
    end.

until(Fun, Expected) -> until(Fun, Expected, 200).
until(Fun, Expected, Left) ->
    case Fun() of
        Expected -> Expected;
        Other when Left =:= 0 -> {not_yet, Other};
        _ -> timer:sleep(10), until(Fun, Expected, Left - 1)
    end.

down(Ref) ->
    receive {'DOWN', Ref, Type, Object, Reason} -> {Type, unnamed(Object), Reason}
    after ?LONG -> no_down end.

unnamed({Name, Node}) when is_atom(Name) -> {name, Node};
unnamed(Object) -> Object.

exit_signal() ->
    receive {'EXIT', Pid, Reason} -> {Pid, Reason} after ?LONG -> no_exit end.

notes(Node) -> rpc:call(Node, svc, notes, []).

received(Node, Name, Count) ->
    received(Node, Name, Count, [], 200).
received(Node, Name, Count, Seen, Left) ->
    case Seen ++ rpc:call(Node, svc, received, [Name]) of
        Messages when length(Messages) >= Count; Left =:= 0 -> Messages;
        Messages -> timer:sleep(10), received(Node, Name, Count, Messages, Left - 1)
    end.

%% A fun of the evaluator, which runs on every node.
anywhere(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    {value, Fun, _} = erl_eval:exprs(Expressions, []),
    Fun.

operations() ->
    ping() ++ rpc() ++ erpc() ++ gen_server() ++ gen_statem() ++ gen_event() ++ sys()
        ++ monitors() ++ links() ++ spawns() ++ messages().

ping() ->
    [{ping, fun(N) -> net_adm:ping(N) end},
     {connected, fun(N) -> lists:member(N, nodes(connected)) end},
     {net_kernel_monitor,
      fun(N) ->
              Ref = monitor(process, {net_kernel, N}),
              receive {'DOWN', Ref, _, _, Reason} -> Reason
              after ?SHORT -> demonitor(Ref, [flush, info]) end
      end}].

rpc() ->
    [{rpc_call, fun(N) -> rpc:call(N, svc, echo, [{1, <<"two">>, [3], #{four => 4.0}}]) end},
     {rpc_call_string, fun(N) -> rpc:call(N, svc, echo, ["a list of small integers"]) end},
     {rpc_call_node, fun(N) -> rpc:call(N, svc, node, []) end},
     {rpc_call_undef_module, fun(N) -> rpc:call(N, no_such_module, f, [1]) end},
     {rpc_call_undef_function, fun(N) -> rpc:call(N, svc, no_such_function, []) end},
     {rpc_call_undef_arity, fun(N) -> rpc:call(N, svc, echo, [1, 2]) end},
     {rpc_call_error, fun(N) -> rpc:call(N, svc, error, [badarg]) end},
     {rpc_call_error_term, fun(N) -> rpc:call(N, svc, error, [{my, "reason"}]) end},
     {rpc_call_exception, fun(N) -> rpc:call(N, svc, value_error, []) end},
     {rpc_call_throw, fun(N) -> rpc:call(N, svc, throw, [ball]) end},
     {rpc_call_exit, fun(N) -> rpc:call(N, svc, exit, [{shutdown, 1}]) end},
     {rpc_call_exit_value, fun(N) -> rpc:call(N, svc, echo, [{'EXIT', oops}]) end},
     {rpc_call_later, fun(N) -> rpc:call(N, svc, later, [30, done]) end},
     {rpc_call_timeout, fun(N) -> rpc:call(N, svc, never, [], ?SHORT) end},
     {rpc_async_call, fun(N) -> rpc:yield(rpc:async_call(N, svc, add, [1, 2])) end},
     {rpc_nb_yield, fun(N) -> rpc:nb_yield(rpc:async_call(N, svc, add, [1, 2]), ?LONG) end},
     {rpc_multicall, fun(N) -> rpc:multicall([N, N], svc, add, [1, 2]) end},
     {rpc_multicall_error, fun(N) -> rpc:multicall([N], svc, error, [badarg]) end},
     {rpc_multicall_bad_node, fun(N) -> rpc:multicall([N, 'nobody@localhost'], svc, zero, []) end},
     {rpc_block_call, fun(N) -> rpc:block_call(N, svc, add, [1, 2]) end},
     {rpc_block_call_error, fun(N) -> rpc:block_call(N, svc, error, [badarg]) end},
     {rpc_block_call_throw, fun(N) -> rpc:block_call(N, svc, throw, [ball]) end},
     {rpc_block_call_undef, fun(N) -> rpc:block_call(N, svc, nothing, []) end},
     {rpc_cast, fun(N) -> {rpc:cast(N, svc, note, [cast]), until(fun() -> notes(N) end, [cast])} end},
     {rpc_eval_everywhere,
      fun(N) ->
              {rpc:eval_everywhere([N], svc, note, [all]), until(fun() -> notes(N) end, [all])}
      end},
     {rpc_sbcast,
      fun(N) -> {Name, _} = box(N), {rpc:sbcast([N], Name, hello), received(N, Name, 1)} end},
     {rpc_sbcast_nobody, fun(N) -> rpc:sbcast([N], no_such_name, hello) end},
     {rpc_abcast,
      fun(N) -> {Name, _} = box(N), {rpc:abcast([N], Name, hello), received(N, Name, 1)} end},
     {rpc_server_call,
      fun(N) -> {Name, _} = box(N), rpc:server_call(N, Name, wrapped, {'$server', question}) end},
     {rpc_server_call_nobody, fun(N) -> rpc:server_call(N, no_such_name, wrapped, question) end}].

erpc() ->
    Later = fun(N) -> erpc:send_request(N, svc, later, [30, done]) end,
    [{erpc_call, fun(N) -> erpc:call(N, svc, add, [1, 2]) end},
     {erpc_call_error, fun(N) -> erpc:call(N, svc, error, [badarg]) end},
     {erpc_call_exception, fun(N) -> erpc:call(N, svc, value_error, []) end},
     {erpc_call_throw, fun(N) -> erpc:call(N, svc, throw, [ball]) end},
     {erpc_call_exit, fun(N) -> erpc:call(N, svc, exit, [bye]) end},
     {erpc_call_undef, fun(N) -> erpc:call(N, svc, nothing, [1]) end},
     {erpc_call_timeout, fun(N) -> erpc:call(N, svc, never, [], ?SHORT) end},
     {erpc_call_large, fun(N) -> byte_size(erpc:call(N, svc, big, [1000000])) end},
     {erpc_call_large_argument,
      fun(N) -> byte_size(erpc:call(N, svc, echo, [binary:copy(<<1>>, 1000000)])) end},
     {erpc_call_external_fun, fun(N) -> erpc:call(N, fun svc:zero/0) end},
     {erpc_call_fun_of_a_module_that_is_not_there, fun(N) -> erpc:call(N, fun() -> 1 end) end},
     {erpc_call_apply, fun(N) -> erpc:call(N, erlang, apply, [svc, add, [1, 2]]) end},
     {erpc_request,
      fun(N) -> erpc:receive_response(erpc:send_request(N, svc, add, [1, 2]), ?LONG) end},
     {erpc_request_error,
      fun(N) -> erpc:receive_response(erpc:send_request(N, svc, error, [badarg]), ?LONG) end},
     {erpc_request_wait,
      fun(N) ->
              Request = Later(N),
              {erpc:wait_response(Request, 0), erpc:wait_response(Request, ?LONG)}
      end},
     {erpc_request_check,
      fun(N) ->
              Request = Later(N),
              receive Message -> erpc:check_response(Message, Request) after ?LONG -> none end
      end},
     {erpc_request_abandoned,
      fun(N) ->
              Request = erpc:send_request(N, svc, never, []),
              caught(fun() -> erpc:receive_response(Request, ?SHORT) end)
      end},
     {erpc_request_collection,
      fun(N) ->
              One = erpc:send_request(N, svc, later, [30, one], one, erpc:reqids_new()),
              Both = erpc:send_request(N, svc, echo, [two], two, One),
              {First, L1, Left} = erpc:receive_response(Both, ?LONG, true),
              {Second, L2, _} = erpc:receive_response(Left, ?LONG, true),
              [{L1, First}, {L2, Second}]
      end},
     {erpc_multicall, fun(N) -> erpc:multicall([N, N], svc, add, [1, 2]) end},
     {erpc_multicall_errors,
      fun(N) ->
              [erpc:multicall([N], svc, F, A)
               || {F, A} <- [{error, [badarg]}, {throw, [t]}, {exit, [e]}, {nothing, []}]]
      end},
     {erpc_multicall_timeout, fun(N) -> erpc:multicall([N], svc, never, [], ?SHORT) end},
     {erpc_cast,
      fun(N) -> {erpc:cast(N, svc, note, [cast]), until(fun() -> notes(N) end, [cast])} end},
     {erpc_cast_error, fun(N) -> {erpc:cast(N, svc, error, [x]), net_adm:ping(N)} end},
     {erpc_multicast,
      fun(N) -> {erpc:multicast([N], svc, note, [m]), until(fun() -> notes(N) end, [m])} end},
     {erpc_many,
      fun(N) ->
              Requests = [erpc:send_request(N, svc, add, [I, I]) || I <- lists:seq(1, 200)],
              lists:sum([erpc:receive_response(R, ?LONG) || R <- Requests])
      end},
     {erpc_killed_caller,
      fun(N) ->
              {Pid, Ref} = spawn_monitor(fun() -> erpc:call(N, svc, never, []) end),
              timer:sleep(20),
              exit(Pid, kill),
              {down(Ref), erpc:call(N, svc, zero, [])}
      end}].

gen_server() ->
    Call = fun(S, Request) -> caught(fun() -> gen_server:call(S, Request, ?LONG) end) end,
    After = fun(S) -> Call(S, {add, 0}) end,
    [{call, fun(N) -> S = server(N), [gen_server:call(S, {add, I}) || I <- [1, 2, 3]] end},
     {call_by_pid, fun(N) -> {_, Pid} = new(N, server), gen_server:call(Pid, {add, 5}) end},
     {call_echo,
      fun(N) -> gen_server:call(server(N), {echo, {self(), make_ref(), "x", #{}, 1.5, -7, 1 bsl 70}}) end},
     {call_noproc, fun(N) -> Call({no_such_name, N}, x) end},
     {call_noproc_pid, fun(N) -> Call(dead_pid(N), x) end},
     {call_timeout,
      fun(N) ->
              S = server(N),
              {caught(fun() -> gen_server:call(S, never, ?SHORT) end), After(S)}
      end},
     {call_late_reply,
      fun(N) ->
              S = server(N),
              Late = caught(fun() -> gen_server:call(S, wait, ?SHORT) end),
              gen_server:cast(S, {release, late}),
              {Late, After(S), timer:sleep(20)}
      end},
     {call_later, fun(N) -> gen_server:call(server(N), {later, 20, done}) end},
     {call_released,
      fun(N) ->
              S = server(N),
              Requests = [gen_server:send_request(S, wait) || _ <- [1, 2, 3]],
              gen_server:cast(S, {release, done}),
              [gen_server:receive_response(R, ?LONG) || R <- Requests]
      end},
     {call_error, fun(N) -> S = server(N), {Call(S, {error, badarg}), After(S)} end},
     {call_error_term, fun(N) -> Call(server(N), {error, {my, [reason]}}) end},
     {call_exit, fun(N) -> Call(server(N), {exit, {shutdown, bye}}) end},
     {call_exit_normal, fun(N) -> Call(server(N), {exit, normal}) end},
     {call_throw, fun(N) -> Call(server(N), {throw, ball}) end},
     {call_unknown, fun(N) -> Call(server(N), what) end},
     {call_stop, fun(N) -> S = server(N), {Call(S, {stop, enough}), After(S)} end},
     {call_stop_reply,
      fun(N) ->
              {S, Pid} = new(N, server),
              Ref = monitor(process, Pid),
              {Call(S, {stop, normal, bye}), down(Ref)}
      end},
     {call_of_another_dies,
      fun(N) ->
              S = server(N),
              Request = gen_server:send_request(S, never),
              {Call(S, {stop, enough}), element(1, element(2, gen_server:receive_response(Request, ?LONG)))}
      end},
     {call_parallel,
      fun(N) ->
              S = server(N),
              Self = self(),
              [spawn(fun() -> Self ! {sum, gen_server:call(S, {add, 1})} end) || _ <- lists:seq(1, 50)],
              lists:sum([receive {sum, I} -> I after ?LONG -> 0 end || _ <- lists:seq(1, 50)])
      end},
     {call_killed_caller,
      fun(N) ->
              S = server(N),
              {Pid, Ref} = spawn_monitor(fun() -> gen_server:call(S, never, infinity) end),
              timer:sleep(20),
              exit(Pid, kill),
              {down(Ref), After(S)}
      end},
     {cast, fun(N) -> S = server(N), {gen_server:cast(S, {set, 7}), After(S)} end},
     {cast_nobody, fun(N) -> gen_server:cast({no_such_name, N}, {set, 7}) end},
     {cast_error,
      fun(N) ->
              {S, Pid} = new(N, server),
              Ref = monitor(process, Pid),
              gen_server:cast(S, {error, badarg}),
              down(Ref)
      end},
     {cast_unknown,
      fun(N) ->
              {S, Pid} = new(N, server),
              Ref = monitor(process, Pid),
              gen_server:cast(S, what),
              down(Ref)
      end},
     {abcast,
      fun(N) ->
              {Name, _} = S = server(N),
              {gen_server:abcast([N], Name, {set, 3}), After(S)}
      end},
     {info, fun(N) -> S = server(N), S ! {add, 4}, After(S) end},
     {info_stop,
      fun(N) ->
              {S, Pid} = new(N, server),
              Ref = monitor(process, Pid),
              S ! {stop, {shutdown, info}},
              down(Ref)
      end},
     {multi_call, fun(N) -> {Name, _} = server(N), gen_server:multi_call([N], Name, {add, 9}, ?LONG) end},
     {multi_call_nobody, fun(N) -> gen_server:multi_call([N], no_such_name, x, ?LONG) end},
     {multi_call_timeout,
      fun(N) -> {Name, _} = server(N), gen_server:multi_call([N], Name, never, ?SHORT) end},
     {send_request,
      fun(N) -> gen_server:receive_response(gen_server:send_request(server(N), {add, 3}), ?LONG) end},
     {send_request_wait,
      fun(N) ->
              Request = gen_server:send_request(server(N), {later, 30, done}),
              {gen_server:wait_response(Request, 0), gen_server:wait_response(Request, ?LONG)}
      end},
     {send_request_timeout,
      fun(N) -> gen_server:receive_response(gen_server:send_request(server(N), never), ?SHORT) end},
     {send_request_noproc,
      fun(N) ->
              Request = gen_server:send_request({no_such_name, N}, x),
              {error, {Reason, _}} = gen_server:receive_response(Request, ?LONG),
              Reason
      end},
     {send_request_collection,
      fun(N) ->
              S = server(N),
              One = gen_server:send_request(S, {later, 30, one}, one, gen_server:reqids_new()),
              Both = gen_server:send_request(S, {echo, two}, two, One),
              {First, L1, Left} = gen_server:receive_response(Both, ?LONG, true),
              {Second, L2, _} = gen_server:receive_response(Left, ?LONG, true),
              [{L1, First}, {L2, Second}]
      end},
     {raw_call_with_a_plain_tag,
      fun(N) ->
              Tag = make_ref(),
              server(N) ! {'$gen_call', {self(), Tag}, {add, 1}},
              receive {Tag, Answer} -> Answer after ?LONG -> none end
      end},
     {stop, fun(N) -> S = server(N), {gen_server:stop(S), After(S)} end},
     {stop_reason,
      fun(N) ->
              {S, Pid} = new(N, server),
              Ref = monitor(process, Pid),
              {gen_server:stop(S, {shutdown, test}, ?LONG), down(Ref)}
      end},
     {stop_noproc, fun(N) -> caught(fun() -> gen_server:stop({no_such_name, N}) end) end},
     {proc_lib_stop, fun(N) -> {_, Pid} = new(N, server), proc_lib:stop(Pid, shutdown, ?LONG) end},
     {which_children, fun(N) -> supervisor:which_children(server(N)) end},
     {count_children, fun(N) -> supervisor:count_children(server(N)) end}].

gen_statem() ->
    New = fun(N) -> element(1, new(N, statem)) end,
    [{statem_call, fun(N) -> S = New(N), [gen_statem:call(S, R) || R <- [flip, flip, flip, count]] end},
     {statem_cast,
      fun(N) -> S = New(N), gen_statem:call(S, flip), {gen_statem:cast(S, reset), gen_statem:call(S, count)} end},
     {statem_call_timeout,
      fun(N) -> S = New(N), caught(fun() -> gen_statem:call(S, never, ?SHORT) end) end},
     {statem_call_clean_timeout,
      fun(N) -> S = New(N), caught(fun() -> gen_statem:call(S, never, {clean_timeout, ?SHORT}) end) end},
     {statem_call_error, fun(N) -> S = New(N), caught(fun() -> gen_statem:call(S, {error, badarg}) end) end},
     {statem_call_noproc, fun(N) -> caught(fun() -> gen_statem:call({no_such_name, N}, x) end) end},
     {statem_send_request,
      fun(N) -> gen_statem:receive_response(gen_statem:send_request(New(N), flip), ?LONG) end},
     {statem_stop, fun(N) -> gen_statem:stop(New(N)) end}].

gen_event() ->
    New = fun(N) -> element(1, new(N, events)) end,
    Seen = fun(S) -> gen_event:call(S, svc_log, seen) end,
    [{event_notify, fun(N) -> S = New(N), {gen_event:notify(S, one), Seen(S)} end},
     {event_sync_notify, fun(N) -> S = New(N), {gen_event:sync_notify(S, two), Seen(S)} end},
     {event_call, fun(N) -> gen_event:call(New(N), svc_log, other, ?LONG) end},
     {event_call_bad_module, fun(N) -> gen_event:call(New(N), no_such_handler, x) end},
     {event_which_handlers, fun(N) -> gen_event:which_handlers(New(N)) end},
     {event_send_request,
      fun(N) -> gen_event:receive_response(gen_event:send_request(New(N), svc_log, seen), ?LONG) end},
     {event_handler_error,
      fun(N) -> S = New(N), {gen_event:sync_notify(S, {error, badarg}), gen_event:which_handlers(S)} end},
     {event_delete_handler,
      fun(N) ->
              S = New(N),
              {gen_event:delete_handler(S, svc_log, remove_handler), gen_event:which_handlers(S)}
      end},
     {event_delete_no_handler, fun(N) -> gen_event:delete_handler(New(N), no_such_handler, []) end},
     {event_call_noproc, fun(N) -> caught(fun() -> gen_event:call({no_such_name, N}, h, x) end) end},
     {event_stop, fun(N) -> gen_event:stop(New(N)) end}].

sys() ->
    [{sys_get_state, fun(N) -> S = server(N), gen_server:call(S, {add, 5}), sys:get_state(S) end},
     {sys_get_state_noproc, fun(N) -> caught(fun() -> sys:get_state({no_such_name, N}, ?LONG) end) end},
     {sys_get_status,
      fun(N) ->
              {status, Pid, {module, Module}, [Dictionary, State, Parent, Debug, Misc]} =
                  sys:get_status(server(N)),
              {is_pid(Pid), Module, is_list(Dictionary), State, is_pid(Parent), Debug,
               [Key || {Key, _} <- Misc], [L || {data, L} <- Misc, lists:keymember("State", 1, L)],
               [Key || {data, L} <- Misc, {Key, _} <- L]}
      end},
     {sys_suspend_resume,
      fun(N) ->
              S = server(N),
              ok = sys:suspend(S),
              Request = gen_server:send_request(S, {add, 1}),
              {status, _, _, [_, State, _, _, _]} = sys:get_status(S),
              Waits = gen_server:wait_response(Request, ?SHORT),
              {State, Waits, sys:resume(S), gen_server:wait_response(Request, ?LONG)}
      end},
     {sys_replace_state,
      fun(N) ->
              S = server(N),
              Set = anywhere("fun(State) -> State#{count := 70} end."),
              {sys:replace_state(S, Set), gen_server:call(S, {add, 1})}
      end},
     {sys_replace_state_twice,
      fun(N) ->
              S = server(N),
              Increment = anywhere("fun(#{count := C} = State) -> State#{count := C + 1} end."),
              sys:replace_state(S, Increment),
              {sys:replace_state(S, Increment), sys:get_state(S)}
      end},
     {sys_replace_state_error,
      fun(N) ->
              S = server(N),
              {caught(fun() -> sys:replace_state(S, anywhere("fun(_) -> error(oops) end.")) end),
               sys:get_state(S)}
      end},
     {sys_terminate,
      fun(N) ->
              {S, Pid} = new(N, server),
              Ref = monitor(process, Pid),
              {sys:terminate(S, {shutdown, sys}), down(Ref)}
      end},
     {sys_no_debug, fun(N) -> sys:no_debug(server(N)) end},
     {sys_statistics, fun(N) -> sys:statistics(server(N), get) end},
     {sys_trace_off, fun(N) -> sys:trace(server(N), false) end},
     {sys_suspended_stop,
      fun(N) ->
              S = server(N),
              ok = sys:suspend(S),
              gen_server:stop(S, shutdown, ?LONG)
      end}].

monitors() ->
    [{monitor_name,
      fun(N) ->
              {S, Pid} = new(N, server),
              Ref = monitor(process, S),
              exit(Pid, kill),
              down(Ref)
      end},
     {monitor_pid,
      fun(N) ->
              {S, Pid} = new(N, server),
              Ref = monitor(process, Pid),
              gen_server:cast(S, {error, oops}),
              down(Ref)
      end},
     {monitor_name_noproc, fun(N) -> down(monitor(process, {no_such_name, N})) end},
     {monitor_pid_noproc, fun(N) -> down(monitor(process, dead_pid(N))) end},
     {demonitor,
      fun(N) ->
              {_, Pid} = new(N, server),
              Ref = monitor(process, Pid),
              true = demonitor(Ref),
              exit(Pid, kill),
              net_adm:ping(N)
      end},
     {monitor_tag,
      fun(N) ->
              {_, Pid} = new(N, server),
              Ref = monitor(process, Pid, [{tag, my_down}]),
              exit(Pid, kill),
              receive {my_down, Ref, process, Pid, Reason} -> Reason after ?LONG -> none end
      end},
     {monitor_with_alias,
      fun(N) ->
              {_, Pid} = box(N),
              Ref = monitor(process, Pid, [{alias, reply_demonitor}]),
              Pid ! {'$send', Ref, {Ref, answer}},
              receive {Ref, Answer} -> {Answer, demonitor(Ref, [info])} after ?LONG -> none end
      end}].

links() ->
    Trapping = fun(Fun) -> fun(N) -> process_flag(trap_exit, true), Fun(N) end end,
    [{link_crash,
      Trapping(fun(N) ->
                       {S, Pid} = new(N, server),
                       link(Pid),
                       gen_server:cast(S, {error, oops}),
                       exit_signal()
               end)},
     {link_normal,
      Trapping(fun(N) -> {S, Pid} = new(N, server), link(Pid), gen_server:stop(S), exit_signal() end)},
     {link_noproc, Trapping(fun(N) -> link(dead_pid(N)), exit_signal() end)},
     {unlink,
      Trapping(fun(N) ->
                       {_, Pid} = new(N, server),
                       link(Pid),
                       true = unlink(Pid),
                       exit(Pid, kill),
                       net_adm:ping(N)
               end)},
     {link_here_ends,
      fun(N) ->
              {Name, Pid} = box(N),
              spawn(fun() -> link(Pid), exit(here_it_ends) end),
              received(N, Name, 1)
      end},
     {exit_kill,
      fun(N) -> {_, Pid} = new(N, server), Ref = monitor(process, Pid), exit(Pid, kill), down(Ref) end},
     {exit_reason,
      fun(N) ->
              {_, Pid} = new(N, server),
              Ref = monitor(process, Pid),
              exit(Pid, {shutdown, <<"reason">>}),
              down(Ref)
      end},
     {exit_normal_is_ignored,
      fun(N) -> {S, Pid} = new(N, server), exit(Pid, normal), gen_server:call(S, {add, 1}) end},
     {exit_trapped,
      fun(N) -> {Name, Pid} = box(N), exit(Pid, {my, reason}), received(N, Name, 1) end},
     {exit_to_nobody, fun(N) -> exit(dead_pid(N), kill), net_adm:ping(N) end}].

spawns() ->
    Noted = fun(N, Note) -> until(fun() -> notes(N) end, [Note]) end,
    [{spawn, fun(N) -> {node(spawn(N, svc, note, [spawned])), Noted(N, spawned)} end},
     {spawn_undef, fun(N) -> {is_pid(spawn(N, no_such_module, f, [])), net_adm:ping(N)} end},
     {spawn_external_fun,
      fun(N) ->
              Pid = spawn(N, fun svc:never/0),
              Ref = monitor(process, Pid),
              Lives = receive {'DOWN', Ref, _, _, Reason} -> Reason after ?SHORT -> lives end,
              exit(Pid, kill),
              {Lives, down(Ref)}
      end},
     {spawn_link,
      fun(N) ->
              process_flag(trap_exit, true),
              spawn_link(N, svc, exit, [my_reason]),
              exit_signal()
      end},
     {spawn_link_normal,
      fun(N) -> process_flag(trap_exit, true), spawn_link(N, svc, zero, []), exit_signal() end},
     {spawn_monitor, fun(N) -> {_, Ref} = spawn_monitor(N, svc, zero, []), down(Ref) end},
     {spawn_monitor_error, fun(N) -> {_, Ref} = spawn_monitor(N, svc, error, [badarg]), down(Ref) end},
     {spawn_monitor_throw, fun(N) -> {_, Ref} = spawn_monitor(N, svc, throw, [ball]), down(Ref) end},
     {spawn_monitor_exit, fun(N) -> {_, Ref} = spawn_monitor(N, svc, exit, [bye]), down(Ref) end},
     {spawn_monitor_undef, fun(N) -> {_, Ref} = spawn_monitor(N, svc, nothing, [1]), down(Ref) end},
     {spawn_monitor_killed,
      fun(N) ->
              {Pid, Ref} = spawn_monitor(N, svc, never, []),
              exit(Pid, kill),
              down(Ref)
      end},
     {spawn_opt,
      fun(N) ->
              process_flag(trap_exit, true),
              {_, Ref} = spawn_opt(N, svc, exit, [bye], [link, monitor, {priority, high}]),
              {down(Ref), exit_signal()}
      end},
     {spawn_opt_badopt, fun(N) -> spawn_opt(N, svc, zero, [], [no_such_option]) end},
     {spawn_request,
      fun(N) ->
              Ref = spawn_request(N, svc, note, [asked], [{reply_tag, tag}]),
              receive {tag, Ref, ok, Pid} -> {Pid, Noted(N, asked)} after ?LONG -> none end
      end},
     {spawn_request_monitor,
      fun(N) ->
              Ref = spawn_request(N, svc, exit, [bye], [monitor]),
              receive {spawn_reply, Ref, ok, _} -> down(Ref) after ?LONG -> none end
      end},
     {spawn_request_abandoned,
      fun(N) ->
              Ref = spawn_request(N, svc, zero, [], [monitor]),
              {spawn_request_abandon(Ref), net_adm:ping(N)}
      end},
     {proc_lib_spawn_is_not_there,
      fun(N) -> {_, Ref} = spawn_monitor(N, no_such_module, start, [self()]), down(Ref) end}].

messages() ->
    [{send_to_a_name, fun(N) -> {Name, _} = box(N), {Name, N} ! hello, received(N, Name, 1) end},
     {send_to_a_pid, fun(N) -> {Name, Pid} = box(N), Pid ! {hello, self()}, received(N, Name, 1) end},
     {send_to_nobody, fun(N) -> {no_such_name, N} ! hello, net_adm:ping(N) end},
     {send_nosuspend,
      fun(N) -> {Name, Pid} = box(N), {erlang:send(Pid, hello, [nosuspend]), received(N, Name, 1)} end},
     {send_in_order,
      fun(N) ->
              {Name, Pid} = box(N),
              [Pid ! I || I <- lists:seq(1, 300)],
              received(N, Name, 300) =:= lists:seq(1, 300)
      end},
     {send_large,
      fun(N) ->
              {Name, Pid} = box(N),
              Pid ! binary:copy(<<"large">>, 100000),
              [byte_size(B) || B <- received(N, Name, 1)]
      end},
     {sent_from_there_to_a_pid,
      fun(N) -> rpc:call(N, svc, send, [self(), hi]), receive M -> M after ?LONG -> none end end},
     {sent_from_there_to_a_name,
      fun(N) ->
              register(svc_here, self()),
              rpc:call(N, svc, send, [{svc_here, node()}, hi]),
              receive M -> M after ?LONG -> none end
      end},
     {sent_from_there_to_an_alias,
      fun(N) ->
              Alias = alias(),
              rpc:call(N, svc, send, [Alias, hi]),
              R = receive M -> M after ?LONG -> none end,
              unalias(Alias),
              rpc:call(N, svc, send, [Alias, hi_again]),
              R
      end},
     {alias_there,
      fun(N) ->
              {Name, _} = box(N),
              rpc:call(N, svc, prio_alias, [Name]) ! hi,
              received(N, Name, 1)
      end},
     {priority_message,
      fun(N) ->
              {Name, _} = box(N),
              Alias = rpc:call(N, svc, prio_alias, [Name]),
              %% OTP 28 and later; a plain message before that
              Options = case list_to_integer(erlang:system_info(otp_release)) of
                            Release when Release >= 28 -> [priority];
                            _ -> []
                        end,
              erlang:send(Alias, urgent, Options),
              received(N, Name, 1)
      end},
     {priority_exit,
      fun(N) ->
              {Name, Pid} = box(N),
              case list_to_integer(erlang:system_info(otp_release)) of
                  Release when Release >= 28 ->
                      Alias = rpc:call(N, svc, prio_alias, [Name]),
                      apply(erlang, exit, [Alias, urgent, [priority]]);
                  _ -> exit(Pid, urgent)
              end,
              received(N, Name, 1)
      end},
     {seq_trace_message,
      fun(N) ->
              {Name, Pid} = box(N),
              seq_trace:set_token(label, 17),
              Pid ! traced,
              {Name, N} ! traced_too,
              seq_trace:set_token([]),
              received(N, Name, 2)
      end},
     {seq_trace_call,
      fun(N) ->
              S = server(N),
              seq_trace:set_token(label, 18),
              R = {gen_server:call(S, {add, 1}), erpc:call(N, svc, zero, [])},
              seq_trace:set_token([]),
              R
      end},
     {group_leader,
      fun(N) -> {_, Pid} = box(N), {group_leader(self(), Pid), net_adm:ping(N)} end}].
