//! Sixty-four pictures that are told apart at a glance and over the telephone, each with its name.

/// A picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emoji {
    /// The character.
    pub sign: &'static str,
    /// What it is called, in English.
    pub name: &'static str,
}

/// The picture of six bits.
pub(super) fn of(bits: u8) -> &'static Emoji {
    let [first, ..] = &EMOJI;
    EMOJI.get(usize::from(bits)).unwrap_or(first)
}

macro_rules! emoji {
    ($($sign:literal $name:literal,)*) => {
        /// All of them: six bits each.
        pub const EMOJI: [Emoji; 64] = [$(Emoji { sign: $sign, name: $name },)*];
    };
}

emoji! {
    "🐝" "bee", "🐢" "turtle", "🦉" "owl", "🐘" "elephant", "🐙" "octopus", "🦊" "fox", "🐧" "penguin", "🐌" "snail",
    "🦋" "butterfly", "🐬" "dolphin", "🦒" "giraffe", "🐖" "pig", "🐓" "rooster", "🐎" "horse", "🦔" "hedgehog", "🐫" "camel",
    "🍎" "apple", "🍌" "banana", "🍒" "cherries", "🍇" "grapes", "🍋" "lemon", "🥕" "carrot", "🌽" "corn", "🍄" "mushroom",
    "🥨" "pretzel", "🧀" "cheese", "🥚" "egg", "🎂" "cake", "🌵" "cactus", "🌻" "sunflower", "🌲" "tree", "🌹" "rose",
    "🌙" "moon", "⛄" "snowman", "🌈" "rainbow", "🔥" "fire", "⚓" "anchor", "🚲" "bicycle", "🚂" "train", "🚀" "rocket",
    "⛵" "sailboat", "🚁" "helicopter", "🚜" "tractor", "🏠" "house", "🏰" "castle", "⛺" "tent", "🌋" "volcano", "🎈" "balloon",
    "🎁" "gift", "🎸" "guitar", "🎺" "trumpet", "🥁" "drum", "🎻" "violin", "🎲" "dice", "🧩" "puzzle", "🪁" "kite",
    "🔑" "key", "🔔" "bell", "✂️" "scissors", "☂️" "umbrella", "🕯️" "candle", "📷" "camera", "👓" "glasses", "👑" "crown",
}
