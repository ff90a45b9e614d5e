/** What a ticket should lead to. */
export const ACTIONS = [
  'refund_payment',
  'dispute_charge',
  'report_fraud',
  'unblock_card',
  'reset_access',
  'change_payout_account',
  'explain_fee',
  'escalate_to_human',
] as const;
export type Action = (typeof ACTIONS)[number];

export const PRIORITIES = ['low', 'normal', 'high'] as const;

export interface Ticket {
  /** Who wrote it; the unit of the experiment. */
  readonly customer: string;
  readonly text: string;
  readonly expected: {
    readonly action: Action;
    readonly priority: (typeof PRIORITIES)[number];
    readonly reference: string | null;
  };
}

/** Invented, for a payments company: customer | action | priority | reference | text. */
const TABLE = `
c-1001|refund_payment|normal|TX-48213|I was charged twice for the same taxi ride last night, TX-48213 is the second one. Please send that money back.
c-1002|unblock_card|high|-|My card got declined at the supermarket and the app says it is blocked. I am standing at the till, can you unblock it?
c-1003|explain_fee|low|INV-7741|Invoice INV-7741 lists a "cross-border fee" of 1.9 percent. What is that and why do I pay it?
c-1004|report_fraud|high|TX-50117|There is a payment of 640 euro to a phone shop in a city I have never been to, TX-50117. That was not me.
c-1005|reset_access|normal|-|I changed my phone and now the login code never arrives. How do I get back into my account?
c-1006|change_payout_account|normal|-|We moved our business account to another bank. Please tell me how to have payouts sent to the new IBAN.
c-1007|dispute_charge|normal|TX-48990|The hotel charged me for two nights although I cancelled in time and have the confirmation. I want to dispute TX-48990.
c-1008|escalate_to_human|high|-|This is the fourth time I write. I do not want another automatic answer, I want to talk to a person.
c-1009|refund_payment|low|TX-41002|Returned the headphones three weeks ago, the shop says they refunded, I see nothing. TX-41002.
c-1010|explain_fee|low|-|Why did my last payout arrive 4.50 short of what the dashboard showed?
c-1011|unblock_card|normal|-|I typed the wrong PIN three times, silly me. Card is locked now. What next?
c-1012|reset_access|high|-|Locked out of the merchant dashboard on the day we have to file our taxes. Password reset mail does not come.
c-1013|report_fraud|high|-|Someone called, said he was from your security team and made me read him a code. I think I have been scammed.
c-1014|dispute_charge|normal|TX-52340|Gym keeps taking 39 a month after I ended the contract in June. Latest is TX-52340. I contest that.
c-1015|change_payout_account|high|PO-2201|Payout PO-2201 went to our old bank account that closes on Friday. Stop it and send it to the new one please!
c-1016|refund_payment|normal|TX-46655|Your terminal showed "failed", customer paid again, now both went through. Refund the first, TX-46655, to him.
c-1017|explain_fee|normal|INV-8012|Could someone walk me through the "scheme fees" block on INV-8012? My accountant is asking.
c-1018|escalate_to_human|normal|-|I need a written statement about an account freeze for my lawyer. Whom do I speak to?
c-1019|unblock_card|high|-|I am abroad with my kids, card blocked after the first ATM. Please unblock, we have no cash left.
c-1020|reset_access|low|-|How can I replace my old e-mail address for signing in? I still know the password.
c-1001|explain_fee|low|-|And one more question: is there a charge for getting the refund in another currency?
c-1021|refund_payment|normal|TX-49871|Concert was called off, organiser told me to ask you for the money. Order TX-49871, two tickets.
c-1022|report_fraud|high|TX-53009|Three small test payments, then 900 gone: TX-53009 is the big one. Please stop whoever is doing this.
c-1023|dispute_charge|low|TX-47210|The parcel for TX-47210 held a brick instead of a camera. The seller does not answer.
c-1024|change_payout_account|normal|-|Our company has a new legal name and a new bank account. Which papers do you need to change the payouts?
c-1025|escalate_to_human|high|-|You are holding back 18,000 of our turnover and nobody explains why. I will go to the ombudsman unless a manager calls me today.
c-1026|refund_payment|low|TX-40018|Accidentally tipped 50 instead of 5, the café is happy to give it back but does not know how. TX-40018.
c-1027|reset_access|normal|-|The authenticator app is gone with my old laptop and I cannot find the recovery codes.
c-1028|unblock_card|low|-|New card arrived, but it says "not active" everywhere. Do I have to unlock it first?
c-1029|explain_fee|normal|TX-51222|Paid 100 dollars, was booked 95.80 euro, TX-51222. At the day's rate it should be 92. Where do the rest go?
c-1030|report_fraud|normal|-|Got an e-mail with your logo that asks for my card number. I did not click. Forwarding it so you can warn others.
c-1031|dispute_charge|high|TX-52871|Car rental took an extra 1,200 for "damage" that was there before. I have photos. Please contest TX-52871 before the money is gone.
c-1032|change_payout_account|low|-|Can I split payouts over two accounts, seventy thirty?
c-1033|refund_payment|normal|TX-44404|We refunded the wrong customer, TX-44404 should have gone to the buyer of TX-44440. Can this be turned round?
c-1034|reset_access|high|-|My colleague left the company and was the only admin. Nobody can log in to pay wages tomorrow.
c-1035|unblock_card|normal|-|Online shop says "do not honour". Works in the bakery. Is there some block for internet payments?
c-1036|escalate_to_human|normal|-|Your chat closed on me twice while I was explaining. Please have somebody ring me back after five.
c-1037|explain_fee|low|-|What does "interchange plus plus" mean on your price page, in normal words?
c-1038|report_fraud|high|TX-53355|My wallet was stolen an hour ago and there is already TX-53355 on the statement!
c-1039|dispute_charge|normal|TX-49105|Subscribed for one month of a dating app, they renewed a full year. I never agreed to TX-49105.
c-1040|refund_payment|high|TX-53420|My mother's pension paid for a furnace repair twice, TX-53420. She needs that money this week.
c-1041|change_payout_account|normal|-|Please remove the account ending 0091 from payouts, we have added the one ending 5520 and verified it.
c-1042|explain_fee|normal|INV-8190|We were on 1.4 percent until March. INV-8190 shows 1.6. Nobody told us about a new rate.
c-1043|unblock_card|normal|-|I reported my card lost, found it in the sofa. Can the block be lifted or is it dead?
c-1044|reset_access|low|-|Every morning I have to sign in again although I tick "remember me". Is there a setting?
c-1045|escalate_to_human|high|-|I am deaf and your only way to prove my identity is a phone call. Please have a human write to me.
c-1046|report_fraud|normal|-|A web shop copied our store one to one and takes payments through your service. Who looks into such things?
c-1047|refund_payment|low|TX-45116|Bus pass was issued for the wrong month, the kiosk told me to claim it back from you. TX-45116.
c-1048|dispute_charge|normal|TX-50988|Dentist billed the insurance and my card. One of them is wrong, I object to TX-50988 for now.
c-1049|change_payout_account|high|PO-2260|PO-2260 bounced, the bank says the account name differs. Our new account name is with "GmbH" at the end.
c-1050|explain_fee|low|-|Is there a fee for payments below one euro? We sell stickers.
c-1002|unblock_card|high|-|Blocked again! Same shop, same card. It worked for two days after you unlocked it.
c-1004|report_fraud|high|TX-50240|Another one from that same phone shop: TX-50240, 310 euro. Please, again, it is not me.
c-1051|refund_payment|normal|TX-48777|Ich habe dieselbe Rechnung zweimal bezahlt, einmal per Karte und einmal per Lastschrift. Bitte TX-48777 zurückbuchen.
c-1052|unblock_card|high|-|Meine Karte wurde am Automaten gesperrt, ich stehe am Flughafen und brauche dringend Geld. Können Sie sie entsperren?
c-1053|explain_fee|low|INV-8044|Was bedeutet die „Auslandseinsatzgebühr“ auf der Rechnung INV-8044? Der Händler sitzt doch in München.
c-1054|reset_access|normal|-|Seit dem Update fragt die App nach einem Passwort, das ich nie vergeben habe. Wie komme ich wieder hinein?
c-1055|report_fraud|high|TX-53118|Ich habe TX-53118 nicht ausgelöst! 450 € für Spielguthaben, ich spiele gar nicht.
c-1056|dispute_charge|normal|TX-51570|Das Möbelhaus hat das Sofa nie geliefert und meldet sich nicht mehr. Ich möchte der Zahlung TX-51570 widersprechen.
c-1057|change_payout_account|normal|-|Wir haben die Bank gewechselt, die Auszahlungen sollen ab Montag auf das neue Konto gehen. Was brauchen Sie von uns?
c-1058|escalate_to_human|high|-|Drei Mails, drei Textbausteine. Ich möchte jetzt bitte mit einem Menschen sprechen.
c-1059|refund_payment|low|TX-43390|Pfand für das Leihrad wurde nicht erstattet, Rad steht seit Dienstag wieder an der Station (TX-43390).
c-1060|explain_fee|normal|-|Warum kostet die Sofort-Auszahlung am Wochenende doppelt so viel wie unter der Woche?
c-1061|unblock_card|normal|-|カードの暗証番号を三回間違えてしまい、使えなくなりました。解除してもらえますか。
c-1062|refund_payment|normal|TX-49630|同じ注文で二重に請求されています。TX-49630 を返金してください。
c-1063|report_fraud|high|TX-53201|身に覚えのない支払いがあります(TX-53201、八万円)。すぐに止めてください。
c-1064|explain_fee|low|INV-8105|請求書 INV-8105 の「海外事務手数料」とは何ですか。国内の店で使っただけです。
c-1065|reset_access|normal|-|機種変更をしたら認証コードが届かなくなりました。ログインできず困っています。
c-1066|change_payout_account|normal|-|売上の振込先を新しい口座に変更したいのですが、必要な書類を教えてください。
c-1067|dispute_charge|low|TX-50071|届いた商品が写真とまったく違います。TX-50071 の支払いに異議を申し立てます。
c-1068|escalate_to_human|normal|-|自動返信ではなく、担当者の方と直接お話しできますか。
c-1069|refund_payment|normal|TX-50902|Parking app ran for two days because it lost GPS 🙃 — TX-50902 is 84 euro for a stop of ten minutes.
c-1070|dispute_charge|normal|TX-52002|Charged for "premium seats", sat on a folding chair. Organiser refuses. I want to dispute TX-52002.
c-1071|report_fraud|high|-|I think my card was copied at a petrol station, a warning is all over the local news. Better block everything.
c-1072|reset_access|normal|-|The link in the password mail says "expired", even if I click it within a minute.
c-1073|unblock_card|low|-|My daughter's card has a weekly limit and is now frozen until Monday. Can I lift it once for the school trip?
c-1074|explain_fee|normal|PO-2304|PO-2304 was held two days and then came with a "reserve" taken off. When do we get the reserve back?
c-1075|change_payout_account|low|-|Payouts should go to the savings account from January on. Does it work with an account at another bank?
c-1076|escalate_to_human|high|-|My husband has died and I have to settle his account. I cannot do that with a form. Please let someone call me.
c-1077|refund_payment|normal|TX-47888|The donation page had the amount in the wrong field, I gave 2,000 instead of 20.00. TX-47888, the charity agrees.
c-1078|dispute_charge|high|TX-53077|Landlord agency took the deposit, flat does not exist. I have filed a police report. TX-53077.
c-1079|explain_fee|low|-|Are chargeback costs refunded when we win the case?
c-1080|reset_access|normal|-|I have two accounts by accident and always land in the empty one when I log in.
c-1081|report_fraud|normal|TX-51490|Our cashier ran refunds to her own card, at least TX-51490. How do we see all of them?
c-1082|unblock_card|high|-|Ambulance bill, card says blocked for "unusual amount". I confirm it is me, please let it through.
c-1083|refund_payment|low|TX-42876|Bought the e-book twice, once per mistake on the tablet. Refund of TX-42876 would be kind.
c-1084|change_payout_account|normal|-|Our treasurer changed, the club's payouts still go to his private account.
c-1085|explain_fee|normal|INV-8233|Line 14 of INV-8233: "PCI non-compliance, 30.00". We sent the questionnaire in May.
c-1086|escalate_to_human|normal|-|I run a shelter and have a strange question about anonymous gifts. Can I discuss it with a colleague of yours?
c-1087|dispute_charge|normal|TX-49993|Airline took the fare for the child at adult price. They say "computer". I object to TX-49993.
c-1088|reset_access|high|-|Fingerprint works, face works, but it then wants the PIN of 2019. I have a payment due at noon.
c-1089|refund_payment|normal|TX-50550|Customer paid a deposit of 500 for a room we cannot offer because of the flood. How do we return TX-50550 without fees?
c-1090|report_fraud|high|-|Somebody opened an account in my name with you. I got a welcome letter. I never applied.
c-1014|dispute_charge|normal|TX-53811|The gym did it again, TX-53811. Same story as last month, still no contract.
c-1025|escalate_to_human|high|-|Nobody called. I am asking a second time for a manager.
c-1091|unblock_card|normal|-|Card is blocked "for my safety" after I bought a train ticket in Poland. I am really there.
c-1092|explain_fee|low|-|Does the monthly fee apply for August when we were closed the whole month?
c-1093|refund_payment|high|TX-53602|Wedding caterer vanished and the deposit with them, but the bank of the caterer agreed to send TX-53602 back. Please do so.
c-1094|reset_access|normal|-|Signed in from a hotel, got "suspicious login", and now neither password nor code is accepted.
c-1095|report_fraud|normal|TX-52660|Eight payments to a game in one night, my nephew swears it was not him. TX-52660 is the first.
`;

export const TICKETS: readonly Ticket[] = TABLE.trim().split('\n').map(parse);

function parse(line: string): Ticket {
  const [customer, action, priority, reference, text] = line.split('|') as [
    string,
    Action,
    Ticket['expected']['priority'],
    string,
    string,
  ];
  return { customer, text, expected: { action, priority, reference: reference === '-' ? null : reference } };
}
