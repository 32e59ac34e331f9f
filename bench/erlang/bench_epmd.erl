%% Takes the place of epmd, the daemon that finds the port of a node by its name: here there is one
%% node to find, and whoever started the client said where it listens.
-module(bench_epmd).

-export([set_port/1, port/0]).
-export([start_link/0, register_node/2, register_node/3, address_please/3]).

%% Of the protocol between nodes, since OTP 23.
-define(DISTRIBUTION_VERSION, 6).

set_port(Port) -> persistent_term:put(?MODULE, Port).

%% Where the server listens: as it was set, or as this node's listener says when this is the server.
port() -> persistent_term:get(?MODULE).

start_link() -> ignore.

register_node(Name, Port) -> register_node(Name, Port, inet).

register_node(_Name, Port, _Family) ->
    set_port(Port),
    {ok, rand:uniform(1 bsl 31)}.

address_please(_Name, _Host, _Family) -> {ok, {127, 0, 0, 1}, port(), ?DISTRIBUTION_VERSION}.
