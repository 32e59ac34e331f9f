//! The limits of the node that is besieged, which its parent passes on as arguments.

use rakt::remote::{Config, GoAkt};

use crate::Result;

/// 1 MiB, in bytes.
pub(crate) const MIB: u64 = 1024 * 1024;

/// How many times its default each limit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Half,
    One,
    Twice,
}

impl Scale {
    fn of(self, default: u64) -> u64 {
        match self {
            Self::Half => default / 2,
            Self::One => default,
            Self::Twice => default * 2,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Half => "half",
            Self::One => "one",
            Self::Twice => "twice",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self> {
        let all = [Self::Half, Self::One, Self::Twice];
        let found = all.into_iter().find(|scale| scale.name() == name);
        Ok(found.ok_or("--limits is half, one or twice")?)
    }
}

/// What a node is started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes that peers may make it hold; `None` leaves the default.
    pub(crate) budget: Option<u64>,
    /// Of all other limits.
    pub(crate) scale: Scale,
}

impl Limits {
    /// Those of a generated conversation, at this scale.
    pub(crate) fn generated(scale: Scale) -> Self {
        Self { budget: Some(scale.of(64 * MIB)), scale }
    }

    /// As arguments of the node.
    pub(crate) fn to_args(self) -> Vec<String> {
        let budget = self.budget.map_or(0, |budget| budget);
        vec![budget.to_string(), self.scale.name().to_owned()]
    }

    /// From the arguments of the node.
    pub(crate) fn parse(budget: &str, scale: &str) -> Result<Self> {
        let budget = Some(budget.parse()?).filter(|budget| *budget > 0);
        Ok(Self { budget, scale: Scale::parse(scale)? })
    }

    /// As options.
    pub(crate) fn apply(self, config: Config, goakt: GoAkt) -> Config {
        let scaled = |default: u64| u32::try_from(self.scale.of(default)).unwrap_or(u32::MAX);
        // Strangers and the honest come from loopback addresses.
        let mut config = config.limit_loopback_sources(true);
        if let Some(budget) = self.budget {
            config = config.memory_budget(budget);
        }
        if self.scale == Scale::One {
            return config.goakt(goakt);
        }
        // A frame and the requests in flight have their highest values by default.
        config
            .max_frame_size(scaled(16 * MIB).min(16 * MIB as u32))
            .max_message_size(scaled(16 * MIB))
            .receiver_window(scaled(4 * MIB))
            .max_in_flight(scaled(65_536).min(65_536))
            .max_connections(scaled(10_000))
            .max_connections_per_source(scaled(1_024))
            .max_ungreeted_per_source(scaled(64))
            .max_spawned(scaled(100_000))
            .max_spawned_per_peer(scaled(10_000))
            .max_spawn_rate(scaled(1_000))
            .goakt(goakt.max_pipelined(scaled(64)))
    }
}
