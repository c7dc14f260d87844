%% Erlang distribution over Unix domain sockets, on gen_tcp:
%%
%%     erl -proto_dist uds_tcp -no_epmd -uds_dist socket_dir '"/run/myapp"' -sname a@localhost
%%
%% Application environment of uds_dist, or flags on the command line as above:
%%   socket_dir  where node NAME@HOST listens: SOCKET_DIR/NAME.sock (default "."). A value that
%%               begins with @ stands for Linux abstract sockets: "@DIR" is "\0DIR/NAME".
%%   backlog     connections waiting to be accepted (default 5)
%%   controller  port (default): the socket's port moves the data inside the emulator, as it does
%%               in the distribution over TCP; process: Erlang processes move it, frame by frame, as
%%               in OTP's example erl_uds_dist; stream: Erlang processes move it, and cut the frames
%%               out of whatever has come, 8 KiB at most, as uds_dist does on the module socket
%%   mute        true: behave like carriers seen in the field, which never send a tick and leave an
%%               accepted socket open and silent after a disconnect or a failed handshake
%%
%% It follows the guide "How to Implement an Alternative Carrier for the Erlang Distribution".
%% Frames have a 2-byte length during the handshake and a 4-byte length after it.
-module(uds_tcp_dist).

%% Called by net_kernel.
-export([listen/1, listen/2, address/0, accept/1, accept_connection/5, setup/5, close/1,
         select/1, is_node_name/1, setopts/2, getopts/2]).
%% Called by the connection's supervisor, by name.
-export([tick/1, stream_tick/1, getstat/1]).

-include_lib("kernel/include/dist_util.hrl").
-include_lib("kernel/include/file.hrl").
-include_lib("kernel/include/net_address.hrl").

-define(HANDSHAKE_OPTS, [list, {active, false}, {packet, 2}]).
-define(DIST_VERSION, 6).

%% ---- The listener

listen(Name, _Host) -> listen(Name).

listen(Name) ->
    Path = socket_path(Name),
    Opts = [{ifaddr, {local, Path}}, {backlog, env(backlog, 5)} | ?HANDSHAKE_OPTS],
    case gen_tcp:listen(0, Opts) of
        {ok, Listen} ->
            %% 0 is a wild card and 1..3 are what nodes without big creations use.
            {ok, {Listen, (address())#net_address{address = {local, Path}},
                  3 + rand:uniform(16#FFFFFFFF - 3)}};
        {error, eaddrinuse} ->
            case take_over(Path) of
                ok -> listen(Name);
                Error -> Error
            end;
        Error ->
            Error
    end.

%% A dead node leaves its socket file behind. It is removed if nobody answers there, and only if
%% it is a socket. `raw` because the file server starts after the distribution.
take_over(Path) ->
    case gen_tcp:connect({local, Path}, 0, ?HANDSHAKE_OPTS) of
        {ok, Socket} ->
            gen_tcp:close(Socket),
            {error, duplicate_name};
        {error, econnrefused} ->
            case file:read_link_info(Path, [raw]) of
                {ok, #file_info{type = other}} -> file:delete(Path, [raw]);
                {ok, _} -> {error, eexist};
                {error, enoent} -> ok;
                Error -> Error
            end;
        {error, enoent} -> ok;
        {error, _} -> {error, duplicate_name} % it listens, with a full backlog for instance
    end.

%% A node that only dials (-dist_listen false) needs no more than this.
address() -> #net_address{host = localhost, protocol = stream, family = local}.

close(Listen) ->
    case inet:sockname(Listen) of
        {ok, {local, <<Char, _/binary>> = Path}} when Char =/= 0 -> file:delete(Path, [raw]);
        _ -> ok
    end,
    gen_tcp:close(Listen).

select(Node) -> is_node_name(Node).

is_node_name(Node) ->
    case string:split(atom_to_list(Node), "@", all) of
        [[_ | _], [_ | _]] -> true;
        _ -> false
    end.

%% ---- Connections from others

accept(Listen) ->
    Kernel = self(),
    spawn_opt(fun() -> accept_loop(Kernel, Listen) end, [link, {priority, max}]).

accept_loop(Kernel, Listen) ->
    case gen_tcp:accept(Listen) of
        {ok, Socket} ->
            Kernel ! {accept, self(), Socket, local, stream},
            receive
                {Kernel, controller, Supervisor} ->
                    %% The socket closes when its owner ends. A mute carrier keeps it here, in a
                    %% process that does not end.
                    env(mute, false) orelse gen_tcp:controlling_process(Socket, Supervisor),
                    Supervisor ! {self(), controller};
                {Kernel, unsupported_protocol} ->
                    exit(unsupported_protocol)
            end,
            accept_loop(Kernel, Listen);
        {error, Reason} when Reason =:= emfile; Reason =:= enfile; Reason =:= econnaborted ->
            receive after 100 -> accept_loop(Kernel, Listen) end;
        Error ->
            exit(Error)
    end.

accept_connection(AcceptPid, Socket, MyNode, Allowed, SetupTime) ->
    Kernel = self(),
    spawn_opt(fun() ->
                      receive {AcceptPid, controller} -> ok end,
                      HSData = hs_data(Kernel, MyNode, Socket, dist_util:start_timer(SetupTime)),
                      dist_util:handshake_other_started(HSData#hs_data{allowed = Allowed})
              end, dist_util:net_ticker_spawn_options()).

%% ---- Connections to others

setup(Node, Type, MyNode, _LongOrShortNames, SetupTime) ->
    Kernel = self(),
    spawn_opt(fun() ->
                      Timer = dist_util:start_timer(SetupTime),
                      Path = socket_path(Node),
                      case gen_tcp:connect({local, Path}, 0, ?HANDSHAKE_OPTS, SetupTime) of
                          {ok, Socket} ->
                              HSData = hs_data(Kernel, MyNode, Socket, Timer),
                              dist_util:handshake_we_started(
                                HSData#hs_data{other_node = Node, other_version = ?DIST_VERSION,
                                               request_type = Type});
                          {error, Reason} ->
                              ?shutdown2(Node, {connect, Path, Reason})
                      end
              end, dist_util:net_ticker_spawn_options()).

%% ---- One connection

%% The process that runs the handshake goes on as the connection's supervisor: it ticks, and its
%% end is the end of the connection.
hs_data(Kernel, MyNode, Socket, Timer) ->
    Mute = env(mute, false),
    Controller = case env(controller, port) of
                     port when Mute -> process;
                     Chosen -> Chosen
                 end,
    dist_util:reset_timer(Timer),
    #hs_data{
       kernel_pid = Kernel,
       this_node = MyNode,
       socket = Socket,
       timer = Timer,
       this_flags = 0,
       f_send = fun gen_tcp:send/2,
       f_recv = fun gen_tcp:recv/3,
       f_address = fun(_, Node) -> (address())#net_address{address = {local, socket_path(Node)}} end,
       f_setopts_pre_nodeup = fun(_) -> inet:setopts(Socket, [{active, false}, {packet, 4}]) end,
       f_setopts_post_nodeup =
           fun(_) when Controller =:= port ->
                   inet:setopts(Socket, [binary, {active, true}, {deliver, port}, {packet, 4}]);
              (_) when Controller =:= stream ->
                   inet:setopts(Socket, [binary, {active, false}, {packet, raw}, {buffer, 8192}]);
              (_) ->
                   inet:setopts(Socket, [binary, {active, false}, {packet, 4}])
           end,
       %% setnode needs whatever moves the data: this port, or a process that waits for the handle.
       f_getll =
           fun(_) when Controller =:= port -> inet:getll(Socket);
              (_) ->
                   Pid = spawn_link(fun() -> controller(Controller, Socket) end),
                   put(controller, Pid),
                   {ok, Pid}
           end,
       f_handshake_complete =
           fun(_, _, _) when Controller =:= port -> ok;
              (_, _, DHandle) -> get(controller) ! {handshake_complete, DHandle}, ok
           end,
       mf_tick = case Controller of
                     stream -> fun ?MODULE:stream_tick/1;
                     _ -> fun ?MODULE:tick/1
                 end,
       mf_getstat = fun ?MODULE:getstat/1,
       mf_setopts = fun ?MODULE:setopts/2,
       mf_getopts = fun ?MODULE:getopts/2}.

%% An empty frame. `force`: a full send queue must not block the supervisor.
tick(Socket) -> tick(Socket, []).

stream_tick(Socket) -> tick(Socket, <<0:32>>).

tick(Socket, Bytes) ->
    case prim_inet:send(Socket, Bytes, [force]) of
        {error, closed} -> self() ! {tcp_closed, Socket}, {error, closed};
        Result -> Result
    end.

%% The supervisor asks before each tick. A mute carrier never answers, so no tick is sent.
getstat(Socket) ->
    env(mute, false) andalso receive after infinity -> ok end,
    case inet:getstat(Socket, [recv_cnt, send_cnt, send_pend]) of
        {ok, Stat} ->
            {ok, proplists:get_value(recv_cnt, Stat), proplists:get_value(send_cnt, Stat),
             proplists:get_value(send_pend, Stat)};
        Error -> Error
    end.

setopts(Socket, Opts) ->
    %% These would break the framing.
    case [Opt || {Key, _} = Opt <- Opts, lists:member(Key, [active, deliver, packet])] of
        [] -> inet:setopts(Socket, Opts);
        Bad -> {error, {badopts, Bad}}
    end.

getopts(Socket, Opts) -> inet:getopts(Socket, Opts).

%% ---- The controller as two processes: this one sends, the other receives

controller(Kind, Socket) ->
    receive
        {handshake_complete, DHandle} ->
            Input = spawn_link(fun() -> receive start -> input(Kind, DHandle, Socket, <<>>) end end),
            ok = erlang:dist_ctrl_input_handler(DHandle, Input),
            Input ! start,
            erlang:dist_ctrl_set_opt(DHandle, get_size, true),
            erlang:dist_ctrl_get_data_notification(DHandle),
            output(Kind, DHandle, Socket)
    end.

%% recv, not active mode: it works whoever owns the socket. Unread is the beginning of a frame.
input(Kind, DHandle, Socket, Unread) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Data} when Kind =:= stream ->
            input(Kind, DHandle, Socket, put_frames(DHandle, <<Unread/binary, Data/binary>>));
        {ok, Data} ->
            erlang:dist_ctrl_put_data(DHandle, Data),
            input(Kind, DHandle, Socket, Unread);
        {error, _} ->
            gen_tcp:close(Socket),
            exit(connection_closed)
    end.

put_frames(DHandle, <<0:32, Rest/binary>>) -> % a tick
    put_frames(DHandle, Rest);
put_frames(DHandle, <<Size:32, Frame:Size/binary, Rest/binary>>) ->
    erlang:dist_ctrl_put_data(DHandle, Frame),
    put_frames(DHandle, Rest);
put_frames(_, Unread) ->
    Unread.

output(Kind, DHandle, Socket) ->
    receive
        dist_data -> send_all(Kind, DHandle, Socket);
        _ -> ok
    end,
    output(Kind, DHandle, Socket).

send_all(Kind, DHandle, Socket) ->
    case erlang:dist_ctrl_get_data(DHandle) of
        none ->
            erlang:dist_ctrl_get_data_notification(DHandle);
        {Size, Data} ->
            Frame = case Kind of
                        stream -> [<<Size:32>>, Data];
                        process -> Data
                    end,
            case gen_tcp:send(Socket, Frame) of
                ok -> send_all(Kind, DHandle, Socket);
                {error, Reason} -> exit({send, Reason})
            end
    end.

%% ---- Configuration

socket_path(Node) ->
    Name = lists:takewhile(fun(Char) -> Char =/= $@ end, atom_to_list(Node)),
    case unicode:characters_to_list(env(socket_dir, ".")) of
        [$@ | Dir] -> unicode:characters_to_binary([0, Dir, $/, Name]);
        Dir -> unicode:characters_to_binary(filename:join(Dir, Name ++ ".sock"))
    end.

%% Distribution starts before applications are loaded, and only loading copies the flags on the
%% command line to the environment: so they are read here too.
env(Key, Default) ->
    case application:get_env(uds_dist, Key) of
        {ok, Value} -> Value;
        undefined ->
            {ok, Flags} = case init:get_argument(uds_dist) of
                              error -> {ok, []};
                              Found -> Found
                          end,
            case flag(atom_to_list(Key), lists:append(Flags)) of
                undefined -> Default;
                Text ->
                    {ok, Tokens, _} = erl_scan:string(Text ++ "."),
                    {ok, Value} = erl_parse:parse_term(Tokens),
                    Value
            end
    end.

flag(Key, [Key, Text | _]) -> Text;
flag(Key, [_, _ | Rest]) -> flag(Key, Rest);
flag(_, _) -> undefined.
