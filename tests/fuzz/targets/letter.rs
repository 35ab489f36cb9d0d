//! Where letters go and whom they come from, as people type it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use notify::{Address, Code, Language, Message, Sender, compose};

fuzz_target!(|text: &str| {
    let _ = text.parse::<Sender>();
    let Ok(address) = text.parse::<Address>() else { return };
    assert_eq!(address.as_str(), text);
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]|`!%/".contains(&byte)));
    assert!(!text.starts_with('-') && text.matches('@').count() == 1);

    let code = Code::new(123_456).expect("six digits");
    let message = Message::ConfirmContact { code };
    let letters = Language::ALL.map(|language| compose(address.clone(), language, message, [7; 16]));
    for letter in &letters {
        assert_eq!(letter.to(), &address);
        assert!(!letter.body().contains(text) && !format!("{letter:?}").contains(text));
    }
});
