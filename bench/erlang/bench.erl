%% Erlang's distribution as a contestant of the benchmark: a server, a client, and both within one
%% node; ./run has how they are started.
-module(bench).

-export([main/0, counter/1]).

-define(SMALL, 64).
-define(BULK, 1 bsl 20).
-define(ASKERS, 64).
-define(PRODUCERS, 20).
-define(TARGETS, 2000).
%% Large notes that show that the bulk half of mixed has begun.
-define(MIXED_FIRST, 32).
%% Ends mixed, however many asks were answered.
-define(MIXED_LIMIT_SECONDS, 5).
%% Longer than anything that goes well.
-define(ASK_TIMEOUT, 60_000).

main() ->
    try
        run(init:get_plain_arguments())
    catch
        Class:Reason:Stack ->
            io:format(standard_error, "erlang: ~p ~p~n~p~n", [Class, Reason, Stack]),
            halt(1)
    end.

run(["serve"]) ->
    register(counter, start()),
    register(targets, spawn(fun() -> targets([start() || _ <- lists:seq(1, ?TARGETS)]) end)),
    io:format("ready ~b~n", [bench_epmd:port()]);
run(["client" | Args]) ->
    Job = #{port := Port} = job(Args),
    bench_epmd:set_port(Port),
    bench_clock:print(client(Job)),
    halt();
run(["local" | Args]) ->
    bench_clock:print(local(job(Args))),
    halt().

job(Args) -> job(Args, #{port => 0, server_pids => []}).

job(["--workload", Name | Rest], Job) -> job(Rest, Job#{workload => Name});
job(["--count", Count | Rest], Job) -> job(Rest, Job#{count => list_to_integer(Count)});
job(["--port", Port | Rest], Job) -> job(Rest, Job#{port => list_to_integer(Port)});
job(["--server-pid", Pids | Rest], Job) -> job(Rest, Job#{server_pids => string:lexemes(Pids, ",")});
job([], Job) -> Job.

%% The actor: counts notes, answers an echo with its payload, and a count with how many notes came.

start() -> spawn(?MODULE, counter, [0]).

counter(Notes) ->
    receive
        {note, _Payload} ->
            counter(Notes + 1);
        {'$gen_call', From, {echo, Payload}} ->
            gen_server:reply(From, Payload),
            counter(Notes);
        {'$gen_call', From, count} ->
            gen_server:reply(From, Notes),
            counter(Notes)
    end.

targets(Pids) ->
    receive
        {'$gen_call', From, targets} -> gen_server:reply(From, Pids)
    end,
    targets(Pids).

tell(Pid, Payload) -> Pid ! {note, Payload}.

echo(Pid, Payload) -> Payload = gen_server:call(Pid, {echo, Payload}, ?ASK_TIMEOUT).

counted(Pid) -> gen_server:call(Pid, count, ?ASK_TIMEOUT).

%% The workloads.

client(Job = #{workload := Workload}) ->
    Node = 'server@127.0.0.1',
    Counter = erpc:call(Node, erlang, whereis, [counter]),
    Targets = gen_server:call({targets, Node}, targets, ?ASK_TIMEOUT),
    case Workload of
        "ask-1" -> ask_one_by_one(Counter, Job);
        "ask-64" -> ask_concurrently(Counter, Job);
        "tell" -> tell_and_count(Counter, Job);
        "fan" -> fan(Targets, Job);
        "bulk" -> bulk(Counter, Job);
        "mixed" -> mixed(Counter, hd(Targets), Job)
    end.

local(Job = #{workload := Workload}) ->
    case Workload of
        "local-tell" -> tell_and_count(start(), Job);
        "local-ask" -> local_ask(start(), Job);
        "spawn" -> spawn_many(Job)
    end.

ask_one_by_one(Counter, Job = #{count := Count}) ->
    Payload = payload(?SMALL),
    repeat(warm_up(Job), fun() -> echo(Counter, Payload) end),
    Clock = bench_clock:start(Job),
    Took = [timed(fun() -> echo(Counter, Payload) end) || _ <- lists:seq(1, Count)],
    bench_clock:stop(Clock, Count, bench_clock:latencies(Took)).

local_ask(Counter, Job = #{count := Count}) ->
    Payload = payload(?SMALL),
    repeat(warm_up(Job), fun() -> echo(Counter, Payload) end),
    Clock = bench_clock:start(Job),
    repeat(Count, fun() -> echo(Counter, Payload) end),
    bench_clock:stop(Clock, <<"asks/s">>).

ask_concurrently(Counter, Job = #{count := Count}) ->
    Payload = payload(?SMALL),
    Ask = fun(Asks) ->
        together(?ASKERS, fun(Asker) ->
            repeat(share(Asks, Asker, ?ASKERS), fun() -> echo(Counter, Payload) end)
        end)
    end,
    Ask(warm_up(Job)),
    Clock = bench_clock:start(Job),
    Ask(Count),
    bench_clock:stop(Clock, <<"asks/s">>).

tell_and_count(Counter, Job) ->
    bench_clock:stop(tell_until_counted(Counter, payload(?SMALL), Job), <<"messages/s">>).

bulk(Counter, Job = #{count := Count}) ->
    Clock = tell_until_counted(Counter, payload(?BULK), Job),
    bench_clock:stop(Clock, Count, [bench_clock:megabytes(Count, bench_clock:seconds(Clock))]).

%% Has one producer tell one process; the clock runs until that has counted every note.
tell_until_counted(Counter, Payload, Job = #{count := Count}) ->
    repeat(warm_up(Job), fun() -> tell(Counter, Payload) end),
    Before = counted(Counter),
    Clock = bench_clock:start(Job),
    repeat(Count, fun() -> tell(Counter, Payload) end),
    Count = counted(Counter) - Before,
    Clock.

%% Every producer tells its own targets in turn, and asks each for its count before and after.
fan(Targets, Job = #{count := Count}) ->
    Payload = payload(?SMALL),
    Numbered = lists:zip(lists:seq(0, ?TARGETS - 1), Targets),
    Spread = fun(Tells) ->
        together(?PRODUCERS, fun(Producer) ->
            Own = [Pid || {Number, Pid} <- Numbered, Number rem ?PRODUCERS =:= Producer],
            Share = share(Tells, Producer, ?PRODUCERS),
            Sum = fun() -> lists:sum([counted(Pid) || Pid <- Own]) end,
            Before = Sum(),
            tell_in_turn(Own, Own, Payload, Share),
            Share = Sum() - Before
        end)
    end,
    Spread(warm_up(Job)),
    Clock = bench_clock:start(Job),
    Spread(Count),
    bench_clock:stop(Clock, <<"messages/s">>).

tell_in_turn(_All, _Next, _Payload, 0) ->
    ok;
tell_in_turn(All, [], Payload, Tells) ->
    tell_in_turn(All, All, Payload, Tells);
tell_in_turn(All, [Pid | Next], Payload, Tells) ->
    tell(Pid, Payload),
    tell_in_turn(All, Next, Payload, Tells - 1).

%% Asks one process, one by one, while another process tells another one large notes without a pause.
mixed(Asked, Told, Job) ->
    Payload = payload(?SMALL),
    Large = payload(?BULK),
    repeat(warm_up(Job), fun() -> echo(Asked, Payload) end),
    repeat(?MIXED_FIRST, fun() -> tell(Told, Large) end),
    Before = counted(Told),
    This = self(),
    Bulk = spawn_link(fun() ->
        Began = erlang:monotonic_time(nanosecond),
        Sent = tell_until_enough(Told, Large, 0),
        Sent = counted(Told) - Before,
        Seconds = (erlang:monotonic_time(nanosecond) - Began) / 1.0e9,
        This ! {bulk, bench_clock:megabytes(Sent, Seconds)}
    end),
    Clock = bench_clock:start(Job),
    Took = ask_until_late(Asked, Payload, Clock, maps:get(count, Job), []),
    Bulk ! enough,
    receive
        {bulk, Rate} ->
            bench_clock:stop(Clock, length(Took), bench_clock:latencies(Took) ++ [Rate])
    end.

tell_until_enough(Told, Large, Sent) ->
    receive
        enough -> Sent
    after 0 ->
        tell(Told, Large),
        tell_until_enough(Told, Large, Sent + 1)
    end.

ask_until_late(_Asked, _Payload, _Clock, 0, Took) ->
    Took;
ask_until_late(Asked, Payload, Clock, Asks, Took) ->
    One = timed(fun() -> echo(Asked, Payload) end),
    case bench_clock:seconds(Clock) < ?MIXED_LIMIT_SECONDS of
        true -> ask_until_late(Asked, Payload, Clock, Asks - 1, [One | Took]);
        false -> [One | Took]
    end.

%% Starts processes that stay idle; what they occupy is what the whole node grew by.
spawn_many(Job = #{count := Count}) ->
    This = [os:getpid()],
    Before = bench_clock:resident(This),
    Clock = bench_clock:start(Job),
    repeat(Count, fun start/0),
    Micros = bench_clock:cost(<<"µs/actor"/utf8>>, bench_clock:seconds(Clock) * 1.0e6 / Count),
    Bytes = bench_clock:cost(<<"bytes/actor">>, (bench_clock:resident(This) - Before) / Count),
    bench_clock:stop(Clock, Count, [Micros, Bytes]).

%% So many bytes that no compressor makes smaller, the same in every run.
payload(Length) ->
    {Bytes, _} = rand:bytes_s(Length, rand:seed_s(exsss, 1)),
    Bytes.

warm_up(#{count := Count}) -> max(Count div 20, 1).

repeat(0, _Work) ->
    ok;
repeat(Count, Work) ->
    Work(),
    repeat(Count - 1, Work).

%% Runs the work in so many processes and waits for all.
together(Processes, Work) ->
    Workers = [spawn_monitor(fun() -> Work(Index) end) || Index <- lists:seq(0, Processes - 1)],
    lists:foreach(
        fun({Pid, Monitor}) ->
            receive
                {'DOWN', Monitor, process, Pid, Reason} -> normal = Reason
            end
        end,
        Workers
    ).

%% How much of Count falls to one of so many.
share(Count, Index, Among) when Index < Count rem Among -> Count div Among + 1;
share(Count, _Index, Among) -> Count div Among.

timed(Work) ->
    Began = erlang:monotonic_time(nanosecond),
    Work(),
    erlang:monotonic_time(nanosecond) - Began.
