defmodule SvcOperations do
  @moduledoc """
  What Elixir asks of another node, beside what erl/svc_operations.erl has: in Elixir's own words.
  """

  @long 5000

  def run(node) do
    for {name, operation} <- operations(), do: {name, :svc_operations.run(node, operation)}
  end

  defp new(node, kind) do
    name = :"svc_ex_#{System.unique_integer([:positive])}"
    pid = :rpc.call(node, :svc, :start, [kind, name])
    true = is_pid(pid)
    {name, node}
  end

  # The name of a server is left out of the exit that its caller gets.
  defp caught(fun) do
    {:value, fun.()}
  catch
    :exit, {reason, {module, function, [_server | arguments]}} ->
      {:exit, reason, module, function, arguments}

    :exit, reason ->
      {:exit, reason}
  end

  # What an Elixir caller would rescue.
  defp rescued(fun) do
    fun.()
  rescue
    error -> {error.__struct__, error |> Map.from_struct() |> Map.get(:original, :none)}
  end

  defp until(fun, expected, left \\ 200) do
    case fun.() do
      ^expected -> expected
      other when left == 0 -> {:not_yet, other}
      _ -> Process.sleep(10) && until(fun, expected, left - 1)
    end
  end

  defp down(ref) do
    receive do
      {:DOWN, ^ref, :process, _object, reason} -> reason
    after
      @long -> :no_down
    end
  end

  defp operations, do: nodes() ++ servers() ++ agents() ++ tasks()

  defp nodes do
    [
      ex_ping: &Node.ping/1,
      ex_list: fn n -> n in Node.list(:connected) end,
      ex_rpc: fn n -> :rpc.call(n, :svc, :echo, [%{"key" => nil, list: [1, 2, true]}]) end,
      ex_struct: fn n -> :erpc.call(n, :svc, :echo, [~D[2024-02-29]]) end,
      ex_strings: fn n -> :erpc.call(n, :svc, :echo, [["żółć", 'chars', <<1::3>>, :"an atom"]]) end,
      ex_range_and_mapset: fn n -> :erpc.call(n, :svc, :echo, [{1..3, MapSet.new([1])}]) end,
      ex_erpc_undef: fn n -> rescued(fn -> :erpc.call(n, :svc, :nothing, []) end) end,
      ex_erpc_badarg: fn n -> rescued(fn -> :erpc.call(n, :svc, :error, [:badarg]) end) end,
      ex_erpc_exception: fn n -> rescued(fn -> :erpc.call(n, :svc, :value_error, []) end) end,
      ex_erpc_capture: fn n -> :erpc.call(n, &:svc.zero/0) end,
      ex_spawn: fn n ->
        pid = Node.spawn(n, :svc, :note, [:ex])
        {is_pid(pid), until(fn -> :rpc.call(n, :svc, :notes, []) end, [:ex])}
      end,
      ex_spawn_link: fn n ->
        Process.flag(:trap_exit, true)
        pid = Node.spawn_link(n, :svc, :exit, [:bye])
        receive do: ({:EXIT, ^pid, reason} -> reason), after: (@long -> :no_exit)
      end,
      ex_spawn_monitor: fn n ->
        {_pid, ref} = Node.spawn_monitor(n, :svc, :error, [:badarg])
        down(ref)
      end,
      ex_spawn_capture: fn n ->
        {_pid, ref} = Node.spawn_monitor(n, &:svc.zero/0)
        down(ref)
      end
    ]
  end

  defp servers do
    [
      ex_call: fn n -> n |> new(:server) |> GenServer.call({:add, 3}) end,
      ex_cast: fn n ->
        server = new(n, :server)
        {GenServer.cast(server, {:set, 5}), GenServer.call(server, {:add, 1})}
      end,
      ex_call_timeout: fn n ->
        server = new(n, :server)
        caught(fn -> GenServer.call(server, :never, 100) end)
      end,
      ex_call_noproc: fn n -> caught(fn -> GenServer.call({:no_such_name, n}, :x) end) end,
      ex_call_error: fn n ->
        server = new(n, :server)
        caught(fn -> GenServer.call(server, {:error, :badarg}) end)
      end,
      ex_stop: fn n ->
        server = new(n, :server)
        ref = Process.monitor(server)
        {GenServer.stop(server, {:shutdown, "ex"}), down(ref)}
      end,
      ex_stop_noproc: fn n -> caught(fn -> GenServer.stop({:no_such_name, n}) end) end,
      ex_multi_call: fn n ->
        {name, _} = new(n, :server)
        GenServer.multi_call([n], name, {:add, 2}, @long)
      end,
      ex_abcast: fn n ->
        {name, _} = server = new(n, :server)
        {GenServer.abcast([n], name, {:set, 2}), GenServer.call(server, {:add, 0})}
      end,
      ex_state: fn n -> n |> new(:server) |> :sys.get_state() end,
      ex_which_children: fn n -> n |> new(:server) |> Supervisor.which_children() end,
      ex_count_children: fn n -> n |> new(:server) |> Supervisor.count_children() end,
      ex_reply_to_alias: fn n ->
        {name, _} = server = new(n, :server)
        requests = for i <- 1..5, do: :gen_server.send_request(server, {:echo, {name, i}})
        for r <- requests, {:reply, {_, i}} <- [:gen_server.receive_response(r, @long)], do: i
      end,
      ex_process_alive: fn n ->
        pid = :rpc.call(n, :svc, :box, [:"box_#{System.unique_integer([:positive])}"])
        ref = Process.monitor(pid)
        Process.exit(pid, :kill)
        down(ref)
      end
    ]
  end

  defp agents do
    [
      ex_agent_get: fn n -> n |> new(:agent) |> Agent.get(:erlang, :+, [10]) end,
      ex_agent_update: fn n ->
        agent = new(n, :agent)
        {Agent.update(agent, :erlang, :+, [4]), Agent.get(agent, :erlang, :+, [0])}
      end,
      ex_agent_cast: fn n ->
        agent = new(n, :agent)
        {Agent.cast(agent, :erlang, :+, [4]), Agent.get(agent, :erlang, :+, [0])}
      end,
      ex_agent_stop: fn n -> n |> new(:agent) |> Agent.stop() end
    ]
  end

  defp tasks do
    [
      ex_async: fn n ->
        n |> new(:tasks) |> Task.Supervisor.async(:svc, :add, [1, 2]) |> Task.await()
      end,
      ex_async_later: fn n ->
        n |> new(:tasks) |> Task.Supervisor.async(:svc, :later, [30, :done]) |> Task.await()
      end,
      ex_async_many: fn n ->
        supervisor = new(n, :tasks)
        tasks = for i <- 1..20, do: Task.Supervisor.async(supervisor, :svc, :add, [i, i])
        tasks |> Task.await_many() |> Enum.sum()
      end,
      ex_async_error: fn n ->
        Process.flag(:trap_exit, true)
        task = n |> new(:tasks) |> Task.Supervisor.async(:svc, :error, [:badarg])
        result = caught(fn -> Task.await(task) end)
        receive do: ({:EXIT, _pid, reason} -> {result, reason}), after: (@long -> {result, :none})
      end,
      ex_async_nolink: fn n ->
        n |> new(:tasks) |> Task.Supervisor.async_nolink(:svc, :echo, [:quiet]) |> Task.await()
      end,
      ex_async_nolink_error: fn n ->
        task = n |> new(:tasks) |> Task.Supervisor.async_nolink(:svc, :error, [:badarg])
        Task.yield(task, @long)
      end,
      ex_async_nolink_throw: fn n ->
        task = n |> new(:tasks) |> Task.Supervisor.async_nolink(:svc, :throw, [:ball])
        Task.yield(task, @long)
      end,
      ex_async_nolink_exit: fn n ->
        task = n |> new(:tasks) |> Task.Supervisor.async_nolink(:svc, :exit, [:bye])
        Task.yield(task, @long)
      end,
      ex_async_nolink_undef: fn n ->
        task = n |> new(:tasks) |> Task.Supervisor.async_nolink(:svc, :nothing, [])
        Task.yield(task, @long)
      end,
      ex_async_fun_of_a_module_that_is_not_there: fn n ->
        task = n |> new(:tasks) |> Task.Supervisor.async_nolink(fn -> 1 end)
        {:exit, {reason, _stack}} = Task.yield(task, @long)
        if reason == :undef or match?({:badfun, _}, reason), do: :cannot_be_run, else: reason
      end,
      ex_yield_and_shutdown: fn n ->
        task = n |> new(:tasks) |> Task.Supervisor.async_nolink(:svc, :never, [])
        {Task.yield(task, 50), Task.shutdown(task)}
      end,
      ex_shutdown_brutal: fn n ->
        task = n |> new(:tasks) |> Task.Supervisor.async_nolink(:svc, :never, [])
        {Task.yield(task, 50), Task.shutdown(task, :brutal_kill)}
      end,
      ex_start_child: fn n ->
        supervisor = new(n, :tasks)
        {:ok, pid} = Task.Supervisor.start_child(supervisor, :svc, :note, [:child])
        {node(pid) == n, until(fn -> :rpc.call(n, :svc, :notes, []) end, [:child])}
      end,
      ex_children: fn n ->
        supervisor = new(n, :tasks)
        task = Task.Supervisor.async_nolink(supervisor, :svc, :never, [])
        children = Task.Supervisor.children(supervisor) == [task.pid]
        ended = Task.Supervisor.terminate_child(supervisor, task.pid)
        gone = Task.Supervisor.terminate_child(supervisor, task.pid)
        {children, ended, gone, Task.yield(task, @long), Task.Supervisor.children(supervisor)}
      end,
      ex_count_tasks: fn n ->
        supervisor = new(n, :tasks)
        task = Task.Supervisor.async_nolink(supervisor, :svc, :never, [])
        count = DynamicSupervisor.count_children(supervisor)
        {count, Task.shutdown(task, :brutal_kill)}
      end,
      ex_async_stream: fn n ->
        n
        |> new(:tasks)
        |> Task.Supervisor.async_stream(1..10, :svc, :add, [100], max_concurrency: 4)
        |> Enum.to_list()
      end,
      ex_async_stream_nolink: fn n ->
        n
        |> new(:tasks)
        |> Task.Supervisor.async_stream_nolink([:a, :b], :svc, :exit, [])
        |> Enum.to_list()
      end,
      ex_owner_dies: fn n ->
        supervisor = new(n, :tasks)

        {_, ref} =
          spawn_monitor(fn ->
            Task.Supervisor.async(supervisor, :svc, :never, [])
            exit(:over)
          end)

        {down(ref), until(fn -> Task.Supervisor.children(supervisor) end, [])}
      end
    ]
  end
end
